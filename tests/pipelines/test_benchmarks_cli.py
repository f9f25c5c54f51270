"""`aerie benchmarks` as people type it."""

import json
from pathlib import Path

import pytest
import yaml
from benchmark_files import coded, write_tsv
from typer.testing import CliRunner

from model.evaluation.benchmarks.cards import benchmark_cards
from pipelines.cli import app

runner = CliRunner()
MINI = Path(__file__).resolve().parents[2] / "pipelines/recipes/mini.yaml"


@pytest.fixture(params=[80, 120])
def width(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


@pytest.fixture
def folder(tmp_path):
    """A folder with one benchmark in it."""
    record = {"index": 1, "image": coded(), "question": "Which [year]?", "answer": "['1998', '98']"}
    write_tsv(tmp_path, "docvqa", record)
    return tmp_path


def call(*arguments):
    return runner.invoke(app, ["benchmarks", *map(str, arguments)])


def test_the_list_names_every_benchmark_and_average(width):
    result = call("list")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].split()[0] == "benchmark"
    assert [line.split()[0] for line in lines[1:14]] == list(benchmark_cards())
    assert [line.split()[0] for line in lines[14:16]] == ["eagle2", "opencompass"]
    assert lines[11].split()[-5:] == ["mmvet", "test", "218", "required", "unverified"]
    assert max(map(len, lines)) <= width


def test_the_list_says_what_is_there(width, folder):
    result = call("list", "--data", folder)
    lines = result.output.splitlines()
    assert [line.split()[-1] for line in lines[1:14]] == ["there"] + ["missing"] * 12
    assert lines[14].endswith("mean of 13, 1 there")
    assert "1 there, 12 missing: not run" in result.output
    assert max(map(len, lines)) <= width
    assert call("list", "--data", folder / "gone").exit_code == 2


def test_a_card_is_shown_with_its_first_question(width, folder):
    result = call("show", "docvqa", "--data", folder)
    assert result.exit_code == 0
    assert "validation (the paper: test)" in result.output
    assert "d5ee77e1926ff10690d469c56b73eabf" in result.output
    assert "another version" in " ".join(result.output.split())
    assert "  Which [year]?\n  Answer the question using a single word or phrase." in result.output
    assert "1998 | 98" in result.output
    assert "not in" in call("show", "mmvet", "--data", folder).output
    assert "grades every answer" in call("show", "mmvet").output
    assert "mean of       mmbench-v11" in call("show", "opencompass").output


def test_mistakes_are_one_message(folder):
    result = call("show", "dokvqa")
    assert result.exit_code == 2
    assert "docvqa" in result.output
    (folder / "DocVQA_VAL.tsv").write_text("index\tquestion\n1\tq\n")
    result = call("show", "docvqa", "--data", folder)
    assert result.exit_code == 2
    assert "no column ['image', 'answer']" in result.output
    assert "Traceback" not in result.output


def test_json_holds_cards_places_and_averages(folder):
    document = json.loads(call("list", "--data", folder, "--json").output)
    assert len(document["benchmarks"]) == 13
    assert document["benchmarks"][0]["data"] == str(folder / "DocVQA_VAL.tsv")
    assert document["benchmarks"][1]["data"] is None
    assert [card["name"] for card in document["averages"]] == ["eagle2", "opencompass"]
    assert json.loads(call("show", "ocrbench", "--json").output)["maximum"] == 1000


def test_a_recipes_benchmarks_are_read_before_a_run(folder, tmp_path):
    document = yaml.safe_load(MINI.read_text())
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(document))
    assert "asks no public benchmark" in call("check", recipe).output
    document["evaluation"] = {"benchmark_data": ".", "benchmarks": ["docvqa", "mmstar"]}
    recipe.write_text(yaml.safe_dump(document))
    lines = call("check", recipe).output.splitlines()
    assert lines[0].split() == ["docvqa", "1", "questions"]
    assert lines[1].split()[:6] == ["mmstar", "not", "run", "(no", "data:", "put"]
    assert json.loads(call("check", recipe, "--json").output)["asked"] == {"docvqa": 1}
    write_tsv(folder, "docvqa", {"index": 1, "image": coded(), "question": "?", "answer": ""})
    result = call("check", recipe)
    assert result.exit_code == 2
    assert "DocVQA_VAL.tsv, line 2, column 'answer'" in " ".join(result.stderr.split())
