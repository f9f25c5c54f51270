"""`aerie models list|show` on a registry that the gate's own steps filled."""

import json

import pytest
from promotion_runs import GatedRun, answers, hallusion_answers
from typer.testing import CliRunner

from pipelines.cli import app


def call(*arguments):
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("storage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AERIE_GIT_SHA", "0123abc")
        for run_id, wrong, section in (("a", 30, {}), ("b", 15, {}), ("c", 0, {"model": "other"})):
            run = GatedRun(str(folder), run_id, answers(wrong), section)
            run.compare()
            run.accept()
    return folder


def test_the_newest_of_each_model_stands_first(storage):
    shown = call("list", "--storage", storage)
    assert shown.exit_code == 0, shown.output
    _, _, _, *rows = (line.split() for line in shown.output.splitlines())
    assert [(row[0], row[2], row[6], row[8], row[-1]) for row in rows] == [
        ("gated", "2", "75.0", "+25.0", "b"),
        ("gated", "1", "50.0", "–", "a"),
        ("other", "1", "100.0", "–", "c"),
    ]


def test_json_for_programs(storage):
    found = json.loads(call("list", "gated", "--storage", storage, "--json").output)
    assert [(entry["number"], entry["run_id"]) for entry in found] == [(2, "b"), (1, "a")]
    one = json.loads(call("show", "gated", "1", "--storage", storage, "--json").output)
    assert one == found[1]


def test_one_is_shown_with_its_hashes_and_the_change_of_each_source(storage):
    shown = call("show", "gated", "--storage", storage).output
    entry = json.loads(call("show", "gated", "--storage", storage, "--json").output)
    assert "gated number 2" in shown
    assert "Scores by benchmark" not in shown
    for name in ("checkpoint", "data_version", "recipe_sha256", "predecessor", "git_sha", "date"):
        assert entry[name]
        assert entry[name] in shown.replace("\n", "")
    assert [word for word in shown.split() if word in ("75.0", "+25.0", "60")] == ["60", "75.0", "+25.0"]
    assert "none" in call("show", "gated", "1", "--storage", storage).output


def test_an_empty_storage_and_wrong_names(storage, tmp_path):
    assert "No checkpoint was accepted" in call("list", "--storage", tmp_path).output
    for arguments, said in (
        (("show", "nothing"), "no checkpoint named 'nothing'"),
        (("show", "gated", 7), "gated has the numbers 1 to 2, not 7"),
    ):
        result = call(*arguments, "--storage", storage)
        assert (result.exit_code, "Traceback" in result.output) == (2, False)
        assert said in result.output


def test_benchmarks_stand_below_the_sources(tmp_path):
    for run_id, outputs in (("a", ["No"] * 7), ("b", [])):
        run = GatedRun(str(tmp_path), run_id, answers(0), {}, benchmarks=hallusion_answers(outputs))
        run.compare()
        run.accept()
    shown = call("show", "gated", "--storage", tmp_path).output
    assert "eagle2 1" in shown
    rows = [line.replace("│", " ").split() for line in shown.partition("Scores by benchmark")[2].splitlines()[-3:]]
    assert rows == [
        ["hallusionbench/aAcc", "7", "71.4", "+42.9"],
        ["hallusionbench/fAcc", "4", "75.0", "+50.0"],
        ["hallusionbench/qAcc", "4", "50.0", "+25.0"],
    ]
