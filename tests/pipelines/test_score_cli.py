"""`aerie evaluate` and `aerie score` as a user types them."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmark_files import coded, write_tsv
from typer.testing import CliRunner

from data.storage import Manifest, attach, commit
from model.checkpoint import save_checkpoint
from model.evaluation.prediction_store import read_prediction_set
from model.evaluation.predictions import predictions_parquet
from pipelines.cli import app

ROOT = Path(__file__).resolve().parents[2]
ANSWERS = ["Answer: B", "B", "the blue one", "A", "(B) blue"]  # the answer is B


def aerie(*arguments: str, width: int = 100) -> tuple[int, str, str]:
    """(exit code, stdout, stderr with its line breaks as spaces)"""
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(width)})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, re.sub(r"\s+", " ", result.stderr)


def document(*arguments: str) -> dict:
    code, output, errors = aerie(*arguments, "--json")
    assert code == 0, errors
    return json.loads(output)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("data")
    options = {"A": "red", "B": "blue", "C": "x", "D": "y", "answer": "B", "category": "c", "l2_category": "d"}
    rows = [{"index": n, "image": coded(n), "question": f"which {n}?", **options} for n in range(len(ANSWERS))]
    write_tsv(folder, "mmstar", *rows)
    charts = [{"index": n, "image": coded(n), "question": f"how many {n}?", "answer": str(n)} for n in range(3)]
    write_tsv(folder, "chartqa", *charts)
    return str(folder)


@pytest.fixture(scope="module")
def evaluated(colour_checkpoint, data, tmp_path_factory) -> tuple[str, str, dict]:
    """(checkpoint, OUT, what `aerie evaluate --json` said)"""
    folder = tmp_path_factory.mktemp("evaluated")
    files = {"tokenizer.json": colour_checkpoint.tokenizer.to_json().encode()}
    save_checkpoint(str(folder / "checkpoint"), colour_checkpoint.model, files=files)
    place, out = str(folder / "checkpoint"), str(folder / "out")
    chosen = ["--benchmark", "mmstar", "--benchmark", "chartqa", "--benchmark", "docvqa"]
    said = document("evaluate", place, "--data", data, "--out", out, "--max-new-tokens", "4", *chosen)
    return place, out, said


@pytest.fixture
def kit(tmp_path) -> str:
    """Predictions as VLMEvalKit writes them with PRED_FORMAT=tsv."""
    path = tmp_path / "model_MMStar.tsv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_ALL)
        writer.writerows([["index", "question", "answer", "prediction"]])
        writer.writerows([n, f"which {n}?", "B", output] for n, output in enumerate(ANSWERS))
    return str(path)


def test_evaluate_answers_scores_and_says_what_it_left_out(evaluated, data):
    place, out, said = evaluated
    assert [one["benchmark"] for one in said["benchmarks"]] == ["mmstar", "chartqa"]
    assert said["benchmarks"][0]["rules"]["eagle2"]["questions"] == 5
    assert list(said["not_run"]) == ["docvqa"]
    assert read_prediction_set(f"{out}/mmstar").settings.questions == 5
    again = ["evaluate", place, "--data", data, "--out", out, "--max-new-tokens", "4"]
    code, output, errors = aerie(*again, "--benchmark", "mmstar", "--benchmark", "docvqa", width=80)
    assert (code, errors) == (0, "")
    assert "mmstar" in output
    assert "questions/s" not in output, "nothing was asked"
    assert "not run: docvqa (no data: put DocVQA_VAL.tsv there, from https://" in output


def test_a_set_and_a_folder_of_sets_are_scored_alike(evaluated):
    _, out, said = evaluated
    whole = document("score", out)
    assert {one["benchmark"]: one for one in whole["benchmarks"]} == {
        one["benchmark"]: one for one in said["benchmarks"]
    }
    for one in whole["benchmarks"]:
        assert document("score", f"{out}/{one['benchmark']}")["benchmarks"] == [one]


def test_a_file_of_another_tool_by_every_rule_set(kit, data):
    join = ["score", kit, "--benchmark", "mmstar", "--data", data]
    scores = {name: document(*join, "--rules", name)["benchmarks"][0] for name in ("eagle2", "vlmevalkit", "lmms-eval")}
    every = document(*join, "--all-rules")["benchmarks"][0]
    assert every["rules"] == {name: one["rules"][name] for name, one in scores.items()}
    headlines = [one["score"] for one in every["rules"].values()]
    assert len(set(headlines)) > 1, "the sets must differ on these outputs for the gap to mean anything"
    assert every["gap"] == max(headlines) - min(headlines)
    code, output, _ = aerie(*join, "--all-rules", width=80)
    assert code == 0
    assert max(map(len, output.splitlines())) <= 80
    assert re.search(rf"mmstar .* 5 .* {every['gap']:.1f} ", output)


def test_verdicts_say_what_was_read_out_of_each_output(kit, data, tmp_path):
    target = tmp_path / "verdicts.jsonl"
    assert aerie("score", kit, "--benchmark", "mmstar", "--data", data, "--verdicts", str(target))[0] == 0
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["output"] for line in lines] == ANSWERS
    assert [line["question_id"] for line in lines] == [f"mmstar/{n}" for n in range(5)]
    assert lines[1] | {"note": ""} == {
        "benchmark": "mmstar", "question_id": "mmstar/1", "rules": "eagle2", "value": 1.0, "found": "B", "note": "",
        "output": "B", "answers": lines[1]["answers"],
    }  # fmt: skip
    assert lines[3]["value"] == 0.0


def test_an_evaluation_of_a_run_is_scored_without_its_blind_answers(evaluated, tmp_path):
    rows = list(read_prediction_set(f"{evaluated[1]}/mmstar").predictions())
    blind = [
        type(row)(**{name: getattr(row, name) for name in row.__dataclass_fields__} | {"blind": True}) for row in rows
    ]
    files = {"predictions": attach(str(tmp_path), "predictions.parquet", predictions_parquet([*rows, *blind]))}
    step = Manifest(step="evaluation/stage_2", fingerprint="", recipe_sha256="", rows=5, shards=(), attachments=files)
    commit(str(tmp_path), step)
    scores = document("score", str(tmp_path))
    assert scores["blind_left_out"] == 5
    assert scores["benchmarks"] == document("score", f"{evaluated[1]}/mmstar")["benchmarks"]
    assert "5 answers to blanked images are left out" in aerie("score", str(tmp_path))[1]


def test_scoring_never_loads_the_network_s_libraries(evaluated, kit, data):
    for arguments in (
        [evaluated[1], "--all-rules"],
        [kit, "--benchmark", "mmstar", "--data", data],
    ):
        program = (
            "import sys\nfrom pipelines.cli import app\n"
            f"try:\n    app(['score', *{arguments!r}])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
            "print(sorted({'torch', 'transformers', 'kfp'} & set(sys.modules)))"
        )
        ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert ended.returncode == 0, ended.stderr
        assert "mmstar" in ended.stdout
        assert ended.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{out}", "--rules", "gpt"], "unknown rule set 'gpt'; choose from eagle2, vlmevalkit, lmms-eval"),
        (["{data}"], "holds no predictions; name a folder that aerie evaluate wrote"),
        (["{kit}"], "has no benchmark or source; add the column, or name the benchmark"),
        (["{kit}", "--benchmark", "mmstar"], "give its folder by --data FOLDER"),
        (["{kit}", "--benchmark", "mmstars", "--data", "{data}"], "no benchmark 'mmstars'; the nearest names are"),
        (["{kit}", "--benchmark", "docvqa", "--data", "{data}"], "'docvqa' has no data below"),
        (["{kit}", "--benchmark", "chartqa", "--data", "{data}"], "2 of 5 ids in column 'index' are none of the 3"),
        (["{out}", "--benchmark", "chartqa", "--data", "{data}"], "--benchmark is for a file of another tool"),
        (["{checkpoint}/config.json"], "must hold a list of objects"),
        (["{out}/none.tsv"], "file not found"),
    ],
)
def test_a_mistake_is_one_message(evaluated, kit, data, arguments, message):
    places = {"out": evaluated[1], "checkpoint": evaluated[0], "kit": kit, "data": data}
    code, output, errors = aerie("score", *(one.format(**places) for one in arguments))
    assert (code, output) == (2, "")
    assert message in errors


def test_evaluate_checks_the_rules_before_it_answers(evaluated, data, tmp_path):
    code, _, errors = aerie("evaluate", evaluated[0], "--data", data, "--out", str(tmp_path / "o"), "--rules", "gpt")
    assert (code, "unknown rule set 'gpt'" in errors) == (2, True)
    assert not (tmp_path / "o").exists()
