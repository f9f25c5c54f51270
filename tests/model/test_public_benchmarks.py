"""Public benchmarks in the evaluation step: asked where their files are, stored, scored, and told where not."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from benchmark_files import coded, write_parquet, write_tsv
from evaluation_files import DOCUMENT, RunFiles, write_checkpoint
from kill_answers import check_tries, files_of, see
from public_cases import RULES, rows_of
from raw_files import png

from data.errors import AerieError
from data.folders import copy_folder
from data.storage import attach, commit, read_attachment
from model.evaluation.benchmarks.cards import benchmark_cards
from model.evaluation.predictions import predictions_parquet, read_benchmarks, read_predictions
from model.evaluation.promotion.benchmarks import benchmark_units
from model.evaluation.public_benchmarks import check_public_benchmarks, public_benchmarks
from model.evaluation.public_questions import QuestionStream, listing
from model.evaluation.rules import verdict
from model.evaluation.scoring import score_predictions
from model.evaluation.sections.benchmarks import benchmark_blocks
from model.evaluation.task_views import scores_markdown
from model.evaluation.weaknesses.ranking import weaknesses
from model.recipe import load_recipe

VET = {"image": coded(), "question": "Why is it funny?", "answer": "a<AND>b", "category": "know"}
TSV = {"chartqa": 3, "mmbench-v11": 4, "hallusionbench": 4}  # questions of `public_cases`
ASKED = {**TSV, "textvqa": 2, "mmvet": 2}


def fill(folder: Path) -> Path:
    """Four benchmarks as VLMEvalKit's TSVs and one as the Hub's Parquet below its name."""
    folder.mkdir()
    for name in TSV:
        write_tsv(folder, name, *(columns for columns, _ in rows_of(name)))
    write_tsv(folder, "mmvet", *({"index": f"v1_{number}", **VET} for number in range(2)))
    rows = [{"question_id": n, "question": f"what {n}?", "image": png(n), "answers": ["a"] * 10} for n in range(2)]
    write_parquet(folder, "textvqa", "data/validation-00000-of-00001.parquet", *rows)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> RunFiles:
    made = RunFiles(tmp_path_factory.mktemp("run"))
    made.checkpoint = str(made.folder / "lively")
    write_checkpoint(made.checkpoint, made.recipe, made.tokenizer, spread=0.5)
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return fill(tmp_path_factory.mktemp("public") / "data")


def written(path: Path, data: object, promotion: dict | None = None, **more: object) -> str:
    """A recipe that asks the benchmarks in a folder."""
    evaluation = {**DOCUMENT["evaluation"], "benchmark_data": str(data), "public_max_new_tokens": 2, **more}
    document = DOCUMENT | {"evaluation": evaluation} | ({"promotion": promotion} if promotion else {})
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return str(path)


@pytest.fixture(scope="module")
def evaluated(files, data, tmp_path_factory):
    """(recipe, folder, manifest, scores) of a last stage that was asked all five."""
    folder = tmp_path_factory.mktemp("evaluated")
    recipe, out = written(folder / "recipe.yaml", data), str(folder / "out")
    said = read_benchmarks(out, files.evaluate("stage_2", recipe=recipe, out=out)[1])[0].output
    rows = [columns for columns, _ in rows_of("chartqa")]
    write_tsv(data, "chartqa", {**rows[0], "answer": said.strip()}, *rows[1:])  # or no score would ever be above 0
    _, manifest = files.evaluate("stage_2", recipe=recipe, out=out)
    return recipe, out, manifest, json.loads(read_attachment(out, manifest, "scores"))


def test_what_has_files_is_asked_once_and_seeing(evaluated):
    _, out, manifest, _ = evaluated
    answers = read_benchmarks(out, manifest)
    counts = {name: [row.source for row in answers].count(name) for name in ASKED}
    assert counts == ASKED
    assert len(answers) == sum(ASKED.values()) == len({row.question_id for row in answers})
    assert not any(row.blind for row in answers)
    assert all(row.images for row in answers)
    assert len({row.output for row in answers}) > 3, "the network must answer differently for this to mean anything"
    assert {row.source for row in read_predictions(out, manifest)} == {"shapes", "talk"}
    assert not Path(out, "answered").exists()


def test_the_scores_file_has_what_aerie_score_computes_of_the_answers(evaluated):
    _, out, _, scores = evaluated
    found = score_predictions(out, RULES)
    assert [row["benchmark"] for row in scores["benchmarks"]] == [name for name in benchmark_cards() if name in ASKED]
    for row in scores["benchmarks"]:
        assert row["rules"] == {one.rules: one.numbers for one in found.benchmarks[row["benchmark"]]}
        assert (row["questions"], row["of"]) == (ASKED[row["benchmark"]],) * 2
    judged = {row["benchmark"]: row["judged"] for row in scores["benchmarks"]}
    assert judged == {name: name != "mmvet" for name in ASKED}
    assert set(scores["benchmark_headline"]) == set(ASKED) - {"mmvet"}
    assert 0 < scores["benchmark_headline"]["chartqa"] < 100
    assert scores["averages"] == found.document()["averages"]
    assert scores["averages"]["eagle2"]["rules"] == dict.fromkeys(RULES)
    assert "mmvet" in scores["averages"]["eagle2"]["missing"]


def test_what_has_none_is_not_run_and_says_what_to_fetch(evaluated):
    *_, scores = evaluated
    assert list(scores["not_run"]) == [name for name in benchmark_cards() if name not in ASKED]
    assert scores["not_run"]["docvqa"].startswith("no data: put DocVQA_VAL.tsv there, from https://")


def test_report_and_kfp_show_figures_unjudged_and_not_run(evaluated):
    *_, scores = evaluated
    _, table, averages, absent = benchmark_blocks(scores)
    shown = {row[0]: [getattr(cell, "text", cell) for cell in row] for row in table.rows}
    assert list(shown) == list(benchmark_cards())
    assert shown["docvqa"][2] == "not run"
    assert shown["mmvet"][2:] == ["2", *["unjudged"] * 3, "–"]
    assert shown["chartqa"][3] == f"{scores['benchmark_headline']['chartqa']:.1f}"
    assert averages.rows[0][1:3] == ("4 of 13", "–")
    assert dict(absent.rows) == scores["not_run"]
    text = scores_markdown(scores)
    assert "| mmvet | 2 of 2 | – | – | – | unjudged |" in text
    assert "| docvqa | – | – | – | – | not run: no data: put DocVQA" in text


def test_promotion_and_weaknesses_see_every_benchmark_that_was_asked(evaluated):
    _, out, manifest, _ = evaluated
    answers = read_benchmarks(out, manifest)
    ranked = weaknesses(answers, score_of=lambda one: verdict(one.answered(), "eagle2").value)
    assert {source for cell in ranked for source in cell.sources} == set(ASKED) - {"mmvet"}
    lines = {unit.source for unit in benchmark_units(answers)}
    parts = {f"hallusionbench/{part}" for part in ("aAcc", "fAcc", "qAcc")}
    assert lines == set(ASKED) - {"hallusionbench"} | parts


def test_a_finished_step_needs_no_torch_and_asks_nothing(evaluated, files):
    recipe, out, manifest, _ = evaluated
    inputs = ["stage_2", files.checkpoint, files.formatting, files.tokenizer, out]
    program = (
        "import sys; from model.evaluation.run import evaluate_checkpoint\n"
        f"done = evaluate_checkpoint({recipe!r}, '', *{inputs!r})\n"
        "print(done.sha256(), 'torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == f"{manifest.sha256()} False\n"


def test_changed_or_further_data_are_asked_anew(files, data, tmp_path):
    mine = shutil.copytree(data, tmp_path / "data")
    recipe, out = written(tmp_path / "recipe.yaml", "data", benchmarks=["docvqa", "chartqa"]), str(tmp_path / "out")
    marks = []
    for change in (lambda: None, (mine / "ChartQA_TEST.tsv").touch, lambda: retold(mine), lambda: further(mine)):
        change()
        _, manifest = files.evaluate("stage_2", recipe=recipe, out=out)
        marks.append(manifest.fingerprint)
    assert len(set(marks)) == 3
    assert marks[0] == marks[1]
    prompts = [row.prompt for row in read_benchmarks(out, manifest)]
    assert [("What was it?" in prompt) for prompt in prompts] == [False, True, True, True]
    assert json.loads(read_attachment(out, manifest, "scores"))["not_run"] == {}


def retold(folder: Path) -> None:
    path = folder / "ChartQA_TEST.tsv"
    path.write_text(path.read_text().replace("What is it?", "What was it?"))


def further(folder: Path) -> None:
    write_tsv(folder, "docvqa", {"index": 1, "image": coded(), "question": "Which?", "answer": "['x']"})


def test_the_files_may_lie_in_a_bucket(files, evaluated, data, s3_uri, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    copy_folder(str(data), f"{s3_uri}/benchmarks")
    recipe = written(tmp_path / "recipe.yaml", f"{s3_uri}/benchmarks")
    out, manifest = files.evaluate("stage_2", recipe=recipe, out=str(tmp_path / "out"))
    _, local_out, local, scores = evaluated
    assert read_benchmarks(out, manifest) == read_benchmarks(local_out, local)
    assert json.loads(read_attachment(out, manifest, "scores")) == scores
    cached = {path.name for path in (tmp_path / "cache").rglob("*.*")}
    shutil.rmtree(tmp_path / "cache")
    assert files.evaluate("stage_2", recipe=recipe, out=out)[1] == manifest
    assert len(cached) == len(ASKED)
    assert not (tmp_path / "cache").exists(), "a finished step fetches nothing"
    with pytest.raises(AerieError, match=f"nothing below {s3_uri}/none; correct the path"):
        files.evaluate("stage_2", recipe=written(tmp_path / "none.yaml", f"{s3_uri}/none"), out=out)


def test_a_killed_step_asks_nothing_twice(files, data, tmp_path):
    recipe = written(tmp_path / "recipe.yaml", data, benchmarks=["chartqa", "mmvet"])
    inputs = {name: getattr(files, name) for name in ("checkpoint", "formatting", "tokenizer")}
    seen = see(tmp_path, recipe=recipe, **inputs)
    check_tries(seen["tries"], 10 + 6 + 3 + 2)
    ended = {name: data for name, data in files_of(seen["killed"]).items() if not name.startswith("answered/")}
    assert ended == files_of(seen["whole"])


def test_questions_are_read_a_few_at_a_time_from_files_that_stay(data, tmp_path):
    mine = shutil.copytree(data, tmp_path / "data")
    card, path = benchmark_cards()["chartqa"], str(mine / "ChartQA_TEST.tsv")
    stream = QuestionStream(card, path)
    assert [one.question_id for one in stream.take(["chartqa/1"])] == ["chartqa/1"]
    assert [one.question_id for one in stream.take(["chartqa/2"])] == ["chartqa/2"]
    with pytest.raises(AerieError, match=r"ChartQA_TEST\.tsv was changed while its questions were asked"):
        QuestionStream(card, path).take(["chartqa/1", "chartqa/7"])
    for most, kept in ((1, 1), (2, 2), (3, 3), (None, 3)):
        assert len(listing(card, path, most, seed=3).asked) == kept


def test_broken_files_and_a_wrong_folder_are_named_before_anything_is_trained(data, tmp_path):
    mine = shutil.copytree(data, tmp_path / "data")
    recipe = written(tmp_path / "recipe.yaml", "data")
    asked, not_run = check_public_benchmarks(recipe)
    assert asked == ASKED
    assert len(not_run) == 13 - len(ASKED)
    write_tsv(mine, "chartqa", *({**rows_of("chartqa")[0][0], "index": 5} for _ in range(2)))
    with pytest.raises(AerieError, match=r"ChartQA_TEST.tsv, line 3, column 'index': index '5' stands at .* line 2"):
        check_public_benchmarks(recipe)
    with pytest.raises(AerieError, match=r"folder of benchmark data not found: .*/gone; correct the path"):
        check_public_benchmarks(written(tmp_path / "gone.yaml", "gone"))
    required = written(tmp_path / "required.yaml", "data", {"benchmarks": {"docvqa": {"require": 0.5}}})
    with pytest.raises(AerieError, match=r"promotion\.benchmarks\.docvqa requires a score, but .* no data: put DocVQA"):
        check_public_benchmarks(required)


def test_a_choice_keeps_groups_whole_and_counts_in_no_average(files, data, tmp_path):
    more = {"benchmarks": ["chartqa", "mmbench-v11"], "max_questions_per_public_benchmark": 3}
    recipe = written(tmp_path / "recipe.yaml", data, **more)
    out, manifest = files.evaluate("stage_2", recipe=recipe, out=str(tmp_path / "out"))
    scores = json.loads(read_attachment(out, manifest, "scores"))
    asked = {row["benchmark"]: (row["questions"], row["of"]) for row in scores["benchmarks"]}
    assert asked == {"chartqa": (3, 3), "mmbench-v11": (2, 4)}
    rotations = [row.facts["group"] for row in read_benchmarks(out, manifest) if row.source == "mmbench-v11"]
    assert rotations[0] == rotations[1]
    assert "mmbench-v11" in scores["averages"]["eagle2"]["missing"]
    assert "mmbench-v11" in scores["benchmark_headline"]
    assert "| mmbench-v11 | 2 of 4 |" in scores_markdown(scores)


@pytest.mark.parametrize(
    ("evaluation", "promotion", "message"),
    [
        ({"benchmarks": ["chartqs"]}, {}, "evaluation.benchmarks: no benchmark 'chartqs'; the nearest names are"),
        ({"benchmark_data": None, "benchmarks": ["chartqa"]}, {}, "so benchmark_data must say where their files are"),
        ({"benchmark_data": None}, {"chartqa": {}}, r"limits for chartqa, so evaluation\.benchmark_data must say"),
        ({"benchmarks": ["docvqa"]}, {"chartqa": {}}, r"so evaluation\.benchmarks must name chartqa"),
        ({}, {"local-docvqa": {}}, r"so evaluation\.local_benchmarks must be true"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(tmp_path, evaluation, promotion, message):
    document = DOCUMENT | {
        "evaluation": {"benchmark_data": "data"} | evaluation,
        "promotion": {"benchmarks": promotion},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(AerieError, match=message):
        load_recipe(str(tmp_path / "recipe.yaml"))


def test_limits_of_a_public_benchmark_and_of_a_part_of_it_are_taken(tmp_path):
    limits = {"benchmarks": {"chartqa": {"allowed_drop": 0.1}, "hallusionbench/fAcc": {"allowed_drop": 0.2}}}
    recipe = load_recipe(written(tmp_path / "recipe.yaml", "data", limits))
    assert recipe.promotion is not None
    assert recipe.promotion.benchmark_limits("hallusionbench/fAcc").allowed_drop == 0.2


def test_without_the_key_nothing_is_looked_for(files):
    found = public_benchmarks(load_recipe(files.recipe), files.recipe)
    assert (found.there, found.not_run) == ((), {})
    out, manifest = files.evaluate("stage_2")
    assert "benchmarks" not in manifest.attachments
    assert "not_run" not in json.loads(read_attachment(out, manifest, "scores"))


def test_a_source_named_as_a_benchmark_is_not_scored_as_it(evaluated, tmp_path):
    _, out, manifest, _ = evaluated
    heldout = [replace(row, source="chartqa") for row in read_predictions(out, manifest)]
    payloads = {"predictions": heldout, "benchmarks": read_benchmarks(out, manifest)}
    files = {name: attach(str(tmp_path), name, predictions_parquet(rows)) for name, rows in payloads.items()}
    commit(str(tmp_path), replace(manifest, attachments=files))
    found = score_predictions(str(tmp_path), ["eagle2"])
    assert found.benchmarks["chartqa"] == score_predictions(out, ["eagle2"]).benchmarks["chartqa"]
    assert found.benchmarks["chartqa (held out)"][0].numbers["questions"] == 10
