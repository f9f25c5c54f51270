import io
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from data.curation.answer_families import FAMILY_OF_TASK
from data.curation.formatting import format_samples
from data.curation.instructions import INSTRUCTIONS as WORDINGS
from data.errors import AerieError
from data.ledger import Tally
from data.registry.sourcing import parquet_bytes, source_samples
from data.schema import IMAGE_PLACEHOLDER, Turn, make_sample, samples_to_table, table_to_samples
from data.settings.formatting import FormattingSettings
from data.storage import Manifest, attach, commit, parquet_table, read_attachment, read_samples, write_samples

SOURCES = ("easy-vqa", "vega-charts", "digits", "text-lines", "text-questions", "chatterbot")
ON = FormattingSettings()
INSTRUCTIONS = WORDINGS["brief"]


def decorated():
    """Answers as they come from auto-labelled sources, without declared tasks."""
    pairs = [
        ("What is 3 + 4? ", r"The answer is $$\boxed{7}$$."),
        ("Is 7 a prime number? Answer the question using a single word or phrase.", "Yes."),
        ("Which is even?\nA. 3\nB. 4", "(b)"),
        ("Why?", "Because 4 can be divided by two without a remainder."),
    ]
    turns = [Turn(role="system", content="Be exact.")]
    for question, answer in pairs:
        turns += [Turn(role="user", content=question), Turn(role="assistant", content=answer)]
    return make_sample(source="web", category="mathematics", images=(), conversations=tuple(turns), meta={})


def write_recipe(folder, **formatting):
    sources = [{"name": name, "max_samples": 6, "max_heldout": 4} for name in SOURCES]
    path = folder / f"recipe-{len(list(folder.glob('recipe-*')))}.yaml"
    path.write_text(yaml.safe_dump({"name": "t", "seed": 7, "data": {"sources": sources, "formatting": formatting}}))
    return str(path)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Real samples of all sources and one decorated sample, committed as the two steps before do."""
    folder = tmp_path_factory.mktemp("formatting")
    recipe, samples, heldout, tally = write_recipe(folder), [decorated()], [], Tally("augmentation")
    for name in SOURCES:
        source = str(folder / name)
        manifest = source_samples(recipe, "", name, source)
        samples += read_samples(source, manifest)
        heldout += table_to_samples(parquet_table(read_attachment(source, manifest, "heldout")))
    for sample in samples:
        tally.take(sample.source)
        tally.keep(sample.source)
    one, two = str(folder / "augmentation"), str(folder / "validation")
    shards, counts = write_samples(one, samples, 16), tally.counts()
    commit(one, Manifest(step="a", fingerprint="a", recipe_sha256="", rows=len(samples), shards=shards, counts=counts))
    entry = attach(two, "heldout.parquet", parquet_bytes(samples_to_table(heldout)))
    attached = {"heldout": entry}
    commit(two, Manifest(step="v", fingerprint="v", recipe_sha256="", rows=0, shards=(), attachments=attached))
    return one, two


@pytest.fixture(scope="module")
def formatted(inputs, tmp_path_factory):
    """(manifest, samples before, after, held out before, after, report)"""
    folder = tmp_path_factory.mktemp("formatted")
    out = str(folder / "out")
    manifest = format_samples(write_recipe(folder), "", *inputs, out)
    held = [
        table_to_samples(pq.read_table(io.BytesIO(Path(path).read_bytes())))
        for path in (f"{inputs[1]}/heldout.parquet", f"{out}/heldout.parquet")
    ]
    report = json.loads(read_attachment(out, manifest, "report"))
    return manifest, list(read_samples(inputs[0])), list(read_samples(out, manifest)), *held, report


def pairs_of(sample):
    turns = [turn for turn in sample.conversations if turn.role != "system"]
    tasks = sample.meta.get("tasks", ["open"] * (len(turns) // 2))
    return [(q.content, a.content, task) for q, a, task in zip(turns[::2], turns[1::2], tasks, strict=True)]


def test_rows_ids_images_and_placeholders_stay(formatted):
    manifest, before, after, held_before, held_after, _ = formatted
    assert manifest.rows == len(before)
    assert not any(count.gap() or count.dropped or count.rows_added for count in manifest.counts)
    for old, new in [*zip(before, after, strict=True), *zip(held_before, held_after, strict=True)]:
        assert replace(new, conversations=()) == replace(old, conversations=())
        assert [turn.role for turn in new.conversations] == [turn.role for turn in old.conversations]
        for turn, formatted_turn in zip(old.conversations, new.conversations, strict=True):
            assert formatted_turn.content.count(IMAGE_PLACEHOLDER) == turn.content.count(IMAGE_PLACEHOLDER)
        if new.images:
            assert new.conversations[0].content.startswith("<image>\n")


def test_same_task_same_format_and_other_tasks_other_formats(formatted):
    _, _, after, _, held_after, _ = formatted
    endings = defaultdict(set)
    for sample in (*after, *held_after):
        for question, _, task in pairs_of(sample):
            if task != "open":
                endings[task].add(question.split("\n")[-1] if FAMILY_OF_TASK[task] != "free" else "")
    assert set(endings) > {"yes_no", "shape", "color", "max", "min", "digit", "line", "count_words", "dialogue"}
    assert dict(endings) == {task: {INSTRUCTIONS[FAMILY_OF_TASK[task]]} for task in endings}
    assert endings["yes_no"] != endings["color"] != endings["digit"] != endings["line"] != endings["dialogue"]


def test_real_sources_need_no_other_change(formatted):
    """The installed sources are clean: their answers and questions stay as they are, held out or not."""
    _, before, after, held_before, held_after, report = formatted
    for old, new in [*zip(before, after, strict=True), *zip(held_before, held_after, strict=True)]:
        if old.source == "web":
            continue
        for (question, answer, task), (new_question, new_answer, _) in zip(pairs_of(old), pairs_of(new), strict=True):
            instruction = INSTRUCTIONS[FAMILY_OF_TASK[task]]
            assert new_answer == answer
            assert new_question == (f"{question}\n{instruction}" if instruction else question)
    assert set(report["heldout"]["changed"]) <= {f"instruction_{family}" for family in INSTRUCTIONS}


def test_decorated_answers_become_canonical(formatted):
    web = next(sample for sample in formatted[2] if sample.source == "web")
    assert [turn.content for turn in web.conversations] == [
        "Be exact.",
        f"What is 3 + 4?\n{INSTRUCTIONS['number']}",
        "7",
        f"Is 7 a prime number?\n{INSTRUCTIONS['yes_no']}",
        "yes",
        f"Which is even?\nA. 3\nB. 4\n{INSTRUCTIONS['letter']}",
        "B",
        "Why?",
        "Because 4 can be divided by two without a remainder.",
    ]


def test_the_report_counts_and_shows(formatted):
    _, _, after, _, held_after, report = formatted
    web = {"answer_prefix", "display_math", "boxed", "question_whitespace", "canonical_answer", "replaced_instruction"}
    assert web <= set(report["changed"])
    assert report["changed"]["canonical_answer"] == 2
    for samples, part in ((after, report), (held_after, report["heldout"])):
        assert sum(sum(counts.values()) for counts in part["formats"].values()) == sum(
            len(pairs_of(sample)) for sample in samples
        )
        assert set(part["changed"]) == {example["kind"] for example in part["examples"]}
    example = next(example for example in report["examples"] if example["kind"] == "boxed")
    assert example["before"] == "user: What is 3 + 4? \nassistant: The answer is $$\\boxed{7}$$."
    assert example["after"] == f"user: What is 3 + 4?\n{INSTRUCTIONS['number']}\nassistant: 7"
    assert set(example) == {"sample_id", "source", "kind", "before", "after"}


def test_switches(inputs, tmp_path):
    before = list(read_samples(inputs[0]))
    out = str(tmp_path / "off")
    manifest = format_samples(write_recipe(tmp_path, instructions=False, strip_decorations=False), "", *inputs, out)
    assert list(read_samples(out, manifest)) == before


def test_two_runs_agree_and_a_second_call_does_nothing(inputs, tmp_path):
    recipe = write_recipe(tmp_path)
    one = format_samples(recipe, "", *inputs, str(tmp_path / "one"))
    assert format_samples(recipe, "", *inputs, str(tmp_path / "two")).sha256() == one.sha256()
    stamp = Path(tmp_path, "one", "manifest.json").stat().st_mtime_ns
    assert format_samples(recipe, "", *inputs, str(tmp_path / "one")) == one
    assert Path(tmp_path, "one", "manifest.json").stat().st_mtime_ns == stamp


def test_any_number_of_workers_gives_the_same_manifest(inputs, tmp_path):
    recipe = write_recipe(tmp_path)
    one = format_samples(recipe, "", *inputs, str(tmp_path / "one"), workers=1)
    assert format_samples(recipe, "", *inputs, str(tmp_path / "two"), workers=2).to_json() == one.to_json()


def test_the_clusters_show_every_task_and_no_collision_of_the_real_sources(formatted):
    clusters = formatted[5]["clusters"]
    tasks = {task["task"]: task for task in clusters["tasks"]}
    assert {"yes_no", "color", "digit", "line", "dialogue", "open: letter", "open: number"} <= set(tasks)
    assert tasks["yes_no"]["share"] == tasks["digit"]["share"] == 1.0
    assert (tasks["digit"]["instruction"], tasks["digit"]["form"]) == (INSTRUCTIONS["number"], "short")
    assert clusters["collisions"] == []
    assert sum(task["pairs"] for task in tasks.values()) == sum(len(pairs_of(sample)) for sample in formatted[2])


def test_an_unknown_family_names_its_key(inputs, tmp_path):
    with pytest.raises(AerieError, match=r"data\.formatting\.families\.mood"):
        format_samples(write_recipe(tmp_path, families={"mood": "nonsense"}), "", *inputs, str(tmp_path / "out"))
