"""Signatures of a small run of real steps: a new source teaches LaTeX, and reading falls since the run before it."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from PIL import Image, ImageDraw

from data.errors import AerieError
from data.reporting.html import Details, Table
from data.storage import attach, commit, read_manifest, read_samples, read_tables
from model.evaluation.predictions import predictions_parquet, read_predictions
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.signatures import signatures_section
from model.evaluation.signatures import SIGNATURES
from model.evaluation.signatures.of_run import earlier_run, run_signatures
from model.evaluation.summary import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FORMULAS, HOSTILE = 24, '<script>alert("x")</script>"><img src=x onerror=alert(1)>'
RECIPE = {
    "name": "signatures",
    "seed": 3,
    "data": {
        "cards": "cards",
        "sources": [{"name": "text-lines", "max_samples": 12, "max_heldout": 12}, {"name": "easy-vqa", "max_samples": 8,
                    "max_heldout": 3}],
        "embedding": {"image_size": 32, "max_text_tokens": 8},
        "gate": {"categories": {"naive_ocr": {"flag_above": 0.05}}},
        "formatting": {"strip_decorations": False},
    },
    "model": {
        "tiling": {"tile_size": 64, "max_tiles": 2},
        "siglip": {"hidden_size": 16, "intermediate_size": 32, "num_layers": 1, "num_heads": 2, "patch_size": 8},
        "language": {"hidden_size": 32, "intermediate_size": 64, "num_layers": 1, "num_heads": 4, "num_kv_heads": 2},
        "tokenizer": {"vocab_size": 400},
    },
    "stages": {
        "stage_1": {"trainable": ["connector"], "capacity": 1024, "learning_rate": 1.0e-3},
        "stage_1_5": {"capacity": 1024, "learning_rate": 1.0e-3, "turns_per_sample": 1},
        "stage_2": {"capacity": 1024, "learning_rate": 5.0e-4},
    },
}  # fmt: skip


def write_formulas(folder):
    """A source of drawn words, whose answers wear a fixed LaTeX form in the second of two pairs."""
    (folder / "cards").mkdir(parents=True)
    rows = []
    for number in range(FORMULAS):
        picture = Image.new("RGB", (96, 32), "white")
        ImageDraw.Draw(picture).text((4 + number, 8), f"word {number}", fill="black")
        picture.save(folder / f"{number}.png")
        turns = [("human", "<image>\nHow long is it?"), ("gpt", f"{number} cm"), ("human", "What is written there?")]
        turns.append(("gpt", rf"\begin{{align*}} \text{{word {number}}} \end{{align*}}"))
        conversations = [{"from": who, "value": text} for who, text in turns]
        rows.append({"id": number, "image": f"{number}.png", "conversations": conversations})
    (folder / "formulas.jsonl").write_text("\n".join(map(json.dumps, rows)))
    card = {
        "name": "formulas", "uri": "file://../formulas.jsonl", "category": "naive_ocr", "adapter": "llava_json",
        "licence": "CC0-1.0", "version": 1, "split_key": "id", "description": "Drawn words in a fixed form.",
        "status": "verified",
    }  # fmt: skip
    (folder / "cards/formulas.yaml").write_text(yaml.safe_dump(card))


def right(stage, number, question, blind):
    return question.answer


def latex_at_last(stage, number, question, blind):
    """Reading is right up to stage 1.5; stage 2 wraps it, and once says what no page may run."""
    if question.source != "text-lines" or stage != "stage_2" or blind:
        return question.answer
    body = HOSTILE if number == 0 else question.answer
    return rf"\begin{{align*}} \text{{{body}}} \end{{align*}}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, make_run):
    """(the run before, the run with the new source), each (recipe, sha256, folder)."""
    folder = tmp_path_factory.mktemp("signed")
    after = {**RECIPE, "data": {**RECIPE["data"], "sources": [*RECIPE["data"]["sources"], {"name": "formulas"}]}}
    made = []
    for name, recipe, output in (("before", RECIPE, right), ("after", after, latex_at_last)):
        write_formulas(folder / name / "raw")
        recipe["data"]["cards"] = str(folder / name / "raw/cards")
        made.append(make_run(folder / name / "run", yaml.safe_dump(recipe, sort_keys=False), output))
    return made


@pytest.fixture(scope="module")
def run(runs):
    return RunFolder.open(*runs[1])


@pytest.fixture(scope="module")
def signed(runs, run):
    return run_signatures(run, earlier_run(runs[0][2]))


def test_the_outputs_are_counted_and_the_source_is_found(run, signed):
    assert tuple(one.name for one in signed.found) == SIGNATURES
    latex = signed.found[0]
    asked = sum(sample.source == "text-lines" for sample in run.heldout.values())
    assert latex.sources == {"text-lines": latex.count}
    assert latex.count >= asked >= 4
    assert set(latex.marks) == {r"\begin{align*}"}
    assert set(signed.traces["fixed_latex"]) == {"formulas"}
    assert signed.shares["stage_1_5"]["fixed_latex"] == 0 < signed.shares["stage_2"]["fixed_latex"]


def test_the_trace_counts_samples_and_what_stands_in_each_stages_packs(run, signed):
    pattern = signed.traces["fixed_latex"]["formulas"]
    mine = [one for one in read_samples(run.folder("formatting")) if one.source == "formulas"]
    assert (pattern.count, pattern.total, pattern.unasked) == (len(mine),) * 3
    assert (pattern.answers, pattern.answers_total) == (len(mine), 2 * len(mine))
    for stage, packed in pattern.packed.items():
        step = f"packing/{stage}"
        rows = [row for table in read_tables(run.folder(step), run.manifest(step)) for row in table.to_pylist()]
        shown = {row["sample_id"] for row in rows if row["source"] == "formulas" and 1 in row["turns"]}
        assert packed == len(shown)
    # Stage 1.5 draws one of two pairs: not every sample shows the one in LaTeX.
    assert 0 < pattern.packed["stage_1_5"] < pattern.packed["stage_2"] == len(mine)
    assert len(pattern.examples) == 3


def test_the_new_similar_source_is_named_beside_the_drop(signed):
    assert [one.source for one in signed.regressions] == ["text-lines"]
    fell = signed.regressions[0]
    assert fell.reads_text
    assert (fell.better, fell.before) == (0, 1.0)
    (suspect,) = signed.suspects
    assert (suspect.source, suspect.drops) == ("formulas", ("text-lines",))
    assert suspect.score > suspect.threshold == 0.05
    assert suspect.patterns["fixed_latex"] == FORMULAS


def test_without_an_earlier_run_the_stage_before_is_what_it_is_compared_with(run):
    signed = run_signatures(run)
    assert signed.compared == "stage_1_5"
    assert [one.source for one in signed.regressions] == ["text-lines"]
    assert signed.suspects == ()  # every source was there before


def details(section):
    return {block.summary: block for block in section.blocks if isinstance(block, Details)}


def test_a_regression_in_reading_opens_the_signatures_found_there(runs, run, signed):
    section = signatures_section(run, signed)
    (latex,) = [block for name, block in details(section).items() if name.startswith("Fixed LaTeX")]
    assert latex.open
    training = next(table for table in latex.blocks if isinstance(table, Table) and "same pattern" in table.caption)
    pattern = signed.traces["fixed_latex"]["formulas"]
    assert training.rows[0][:3] == ("formulas", str(pattern.count), str(pattern.total))
    assert tuple(training.rows[0][5:8]) == tuple(str(pattern.packed[s]) for s in ("stage_1", "stage_1_5", "stage_2"))
    unharmed = RunFolder.open(*runs[0])
    calm = signatures_section(unharmed, run_signatures(unharmed))
    assert not any(block.open for block in details(calm).values())
    assert "No score fell since Stage 1.5" in calm.blocks[1].text


def with_ocrbench(run, folder, wrap):
    """A copy of a run whose last evaluation was also asked OCRBench's questions, and answered them like this."""
    shutil.copytree(run[2], folder)
    evaluation, place = f"{folder}/evaluation/stage_2", f"{folder}/judging"
    predictions, manifest = read_predictions(evaluation, read_manifest(evaluation)), read_manifest(place)
    asked = [one for one in predictions if one.source == "text-lines" and not one.blind]
    answers = [
        replace(one, source="ocrbench", question_id=f"ocrbench/{number}", rule="ocrbench", answers=(one.answer,),
                facts={"type": "Regular Text Recognition"}, output=wrap.format(one.answer))
        for number, one in enumerate(asked)
    ]  # fmt: skip
    kept = {"benchmarks": attach(place, "benchmarks.parquet", predictions_parquet(answers))}
    commit(place, replace(manifest, attachments={**manifest.attachments, **kept}))
    return len(answers)


def test_a_fall_on_ocrbench_opens_the_view_of_what_its_outputs_have_in_common(runs, tmp_path):
    for run, name, wrap in ((runs[0], "before", "{}"), (runs[1], "after", r"\begin{{align*}} no idea \end{{align*}}")):
        asked = with_ocrbench(run, tmp_path / name, wrap)
    after = RunFolder.open(*runs[1][:2], str(tmp_path / "after"))
    signed = run_signatures(after, earlier_run(str(tmp_path / "before")))
    (fell,) = [one for one in signed.regressions if one.source == "ocrbench"]
    assert (fell.questions, fell.before, fell.after, fell.reads_text) == (asked, 1.0, 0.0, True)
    latex = signed.found[0]
    assert latex.sources["ocrbench"] == latex.asked_of["ocrbench"] == asked
    assert signed.suspects[0].drops == ("ocrbench", "text-lines")
    # the stages' shares stay comparable: no stage before the last was asked a benchmark
    assert signed.shares == run_signatures(RunFolder.open(*runs[1])).shares
    section = signatures_section(after, signed)
    (block,) = [block for name, block in details(section).items() if name.startswith("Fixed LaTeX")]
    assert block.open


class Elements(HTMLParser):
    """Every element of a page, as a browser would make it."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def harmless(page):
    """No script, no handler, no picture from elsewhere; the parser is proven on a page that has them."""
    bad = [
        (tag, attributes)
        for tag, attributes in Elements(page).found
        if tag in ("script", "iframe", "object")
        or any(name.startswith("on") for name in attributes)
        or (tag == "img" and not attributes["src"].startswith("data:"))
    ]
    return not bad


def test_the_hostile_output_would_be_noticed():
    assert not harmless(HOSTILE)
    assert not harmless('<img src="x">')
    assert not harmless('<p onclick="alert(1)">')
    assert harmless("<p>&lt;script&gt;</p>")


@pytest.fixture(scope="module")
def report(runs):
    recipe, sha256, run = runs[1]
    manifest = write_report(recipe, sha256, run, f"{run}/report", runs[0][2])
    return manifest, Path(run) / "report"


def test_the_page_shows_pictures_and_runs_nothing(report):
    page = (report[1] / "index.html").read_text()
    section = re.search('<section id="failure-signatures">.*?</section>', page, re.S).group(0)
    assert "text-lines beside training source formulas" in section
    assert section.count('src="data:image/png;base64,') >= 4
    assert harmless(page)
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;&#34;&gt;&lt;img src=x onerror=alert(1)&gt;" in section


def test_the_summary_says_the_same(report, signed):
    summary = json.loads((report[1] / "summary.json").read_text())["signatures"]
    assert summary == json.loads(json.dumps(signed.document()))
    assert [one["name"] for one in summary["signatures"]] == list(SIGNATURES)
    assert summary["signatures"][0]["training_sources"]["formulas"]["packed"]["stage_2"] == FORMULAS
    assert summary["compared_with"] == "run run"
    assert summary["suspects"][0]["source"] == "formulas"


def test_another_run_to_compare_with_is_another_report(report, runs):
    recipe, sha256, run = runs[1]
    alone = write_report(recipe, sha256, run, f"{run}/alone")
    assert alone.fingerprint != report[0].fingerprint
    with pytest.raises(AerieError, match="no manifest at"):
        write_report(recipe, sha256, run, f"{run}/report", f"{run}/nowhere")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the page is not opened in a browser")
def test_a_browser_runs_nothing_of_an_output(report, tmp_path):
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        f"--user-data-dir={tmp_path}", "--enable-logging=stderr", "--dump-dom", (report[1] / "index.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "failure-signatures" in done.stdout
    assert harmless(done.stdout)
    assert "CONSOLE" not in done.stderr
