"""The gate's two tasks on folders and in a bucket: compare, accept or refuse, enter once whatever happens at once."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from promotion_runs import GatedRun, answers

from data.errors import AerieError
from data.files import join, read_bytes
from data.folders import files_below
from model.evaluation.promotion import acceptance
from model.evaluation.promotion.registry import (
    Entry,
    append,
    entries,
    entry_uri,
    models,
    predecessor_of,
    predictions_uri,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    monkeypatch.delenv("MODEL_REGISTRY_URL", raising=False)
    monkeypatch.setenv("AERIE_GIT_SHA", "0123abc")


def through(run):
    run.compare()
    return run.accept()


def test_without_a_section_nothing_is_asked(tmp_path):
    run = GatedRun(str(tmp_path), "a", answers(0), None)
    accepted = through(run)
    assert accepted.entry is None
    assert accepted.metadata() == {"accepted": "not asked"}
    assert not (tmp_path / "registry").exists()


def test_the_first_is_entered_with_all_that_identifies_it(tmp_path):
    run = GatedRun(str(tmp_path), "a", answers(15), {})
    accepted = through(run)
    entry = accepted.entry
    assert accepted.new
    assert models(run.registry) == ["gated"]
    assert entries(run.registry, "gated") == [entry]
    assert (entry.number, entry.run_id, entry.predecessor, entry.git_sha) == (1, "a", "", "0123abc")
    assert entry.scores == {"easy-vqa": 0.75}
    assert entry.questions == {"easy-vqa": 60}
    assert re.fullmatch(r"[0-9a-f]{64}", entry.data_version)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\+00:00", entry.date)
    assert (
        read_bytes(predictions_uri(run.registry, entry)) == (tmp_path / "a/evaluation/stage_2/predictions").read_bytes()
    )
    assert accepted.metadata()["checkpoint"] == entry.checkpoint
    assert json.loads(accepted.to_json())["number"] == 1


def test_a_better_one_follows_and_a_worse_one_is_refused_with_one_message(tmp_path):
    through(GatedRun(str(tmp_path), "a", answers(30), {}))
    second = through(GatedRun(str(tmp_path), "b", answers(15), {}))
    assert (second.entry.number, second.entry.predecessor) == (
        2,
        entries(str(tmp_path / "registry"), "gated")[0].checkpoint,
    )
    worse = GatedRun(str(tmp_path), "c", answers(30), {})
    worse.compare()  # raises nothing: its report must be there
    report = worse.report()
    assert (report["accepted"], report["predecessor"]["number"]) == (False, 2)
    with pytest.raises(AerieError) as error:
        worse.accept()
    first, line, last = str(error.value).split("\n")
    assert first == "the checkpoint of stage_2 is not accepted as gated, compared with number 2 (run b):"
    assert re.fullmatch(
        r"  source easy-vqa: 75\.0 -> 50\.0 %, difference -25\.0 points, 95 % interval \[-4\d\.\d, -\d\.\d\]: "
        r"the 95 % interval lies below zero and the drop is beyond the allowed drop of 1\.0",
        line,
    )
    assert (
        last == f"See {tmp_path}/c/promotion/report.json; what may get worse stands in the recipe's section promotion"
    )
    assert len(entries(worse.registry, "gated")) == 2


def test_a_repetition_finds_what_it_did_also_after_others_came(tmp_path):
    first = GatedRun(str(tmp_path), "a", answers(15), {})
    one = through(first)
    through(GatedRun(str(tmp_path), "b", answers(0), {}))
    before = first.compare().sha256()
    again = through(first)
    assert first.compare().sha256() == before
    assert (again.entry, again.new) == (one.entry, False)
    # Another run with the very same checkpoint has nothing to add.
    same = through(GatedRun(str(tmp_path), "c", answers(15), {}, name="a"))
    assert (same.entry, same.new) == (one.entry, False)
    assert len(entries(first.registry, "gated")) == 2


def test_names_are_lines_of_their_own(tmp_path):
    through(GatedRun(str(tmp_path), "a", answers(0), {}))
    other = through(GatedRun(str(tmp_path), "b", answers(60), {"model": "other"}))
    assert (other.entry.model, other.entry.number, other.entry.predecessor) == ("other", 1, "")
    assert models(str(tmp_path / "registry")) == ["gated", "other"]


def test_the_comparison_outlives_the_predecessor_s_run(tmp_path):
    import shutil

    through(GatedRun(str(tmp_path), "a", answers(15), {}))
    shutil.rmtree(tmp_path / "a")
    assert through(GatedRun(str(tmp_path), "b", answers(14), {})).entry.number == 2


def test_an_edited_recipe_compares_anew(tmp_path):
    through(GatedRun(str(tmp_path), "a", answers(15), {}))
    strict = GatedRun(str(tmp_path), "b", answers(30), {})
    refused = strict.compare()
    lenient = GatedRun(str(tmp_path), "b", answers(30), {"allowed_drop": 0.3})
    assert lenient.compare().fingerprint != refused.fingerprint
    assert lenient.accept().entry.number == 2


def test_a_checkpoint_made_anew_after_the_comparison_is_not_accepted(tmp_path):
    GatedRun(str(tmp_path), "a", answers(15), {}).compare()
    changed = GatedRun(str(tmp_path), "a", answers(15), {}, name="other weights")
    with pytest.raises(AerieError, match="stage_2 changed after it was compared; run the pipeline again"):
        changed.accept()


def test_one_that_came_in_between_is_not_jumped_over(tmp_path):
    late = GatedRun(str(tmp_path), "late", answers(15), {})
    late.compare()
    through(GatedRun(str(tmp_path), "quick", answers(10), {}))
    with pytest.raises(
        AerieError, match=r"run quick was accepted as number 1 after this checkpoint was compared; run the"
    ):
        late.accept()
    late.compare()  # now with the quick one
    assert late.report()["predecessor"]["run_id"] == "quick"


def test_damage_is_named(tmp_path):
    run = GatedRun(str(tmp_path), "a", answers(15), {})
    entry = through(run).entry
    candidate = GatedRun(str(tmp_path), "b", answers(15), {})
    predictions = Path(predictions_uri(run.registry, entry))
    kept = predictions.read_bytes()
    predictions.write_bytes(b"x")
    with pytest.raises(AerieError, match=r"\.parquet was changed: the predictions of gated number 1"):
        candidate.compare()
    predictions.unlink()
    with pytest.raises(AerieError, match=r"\.parquet is missing"):
        candidate.compare()
    predictions.write_bytes(kept)
    Path(entry_uri(run.registry, "gated", 1)).write_text("{}")
    with pytest.raises(AerieError, match=r"000001\.json is damaged"):
        candidate.compare()
    Path(entry_uri(run.registry, "gated", 1)).rename(entry_uri(run.registry, "gated", 2))
    with pytest.raises(AerieError, match=r"000001\.json is missing: entries are never deleted"):
        candidate.compare()


def made_entry(number, checkpoint):
    return Entry(
        model="gated", number=number, run_id=checkpoint, stage="stage_2", checkpoint=checkpoint, recipe="gated",
        recipe_sha256="", data_version="", evaluation="", promotion="", predictions="", rules="",
    )  # fmt: skip


def test_predecessor_by_hand():
    known = [made_entry(number, name) for number, name in enumerate("abc", 1)]
    found = {name: predecessor_of(known, name) for name in "abcd"}
    assert {name: entry and entry.run_id for name, entry in found.items()} == {"a": None, "b": "a", "c": "b", "d": "c"}
    assert predecessor_of([], "a") is None


def test_an_entry_is_never_overwritten(tmp_path):
    append(str(tmp_path), made_entry(1, "a"))
    assert append(str(tmp_path), made_entry(1, "a")) == made_entry(1, "a")
    with pytest.raises(AerieError, match="run a was accepted as number 1"):
        append(str(tmp_path), made_entry(1, "b"))
    assert entries(str(tmp_path), "gated") == [made_entry(1, "a")]


RACE = """
import sys
from promotion_runs import GatedRun, answers
from data.errors import AerieError
storage, name = sys.argv[1:]
run = GatedRun(storage, name, answers(15), {"allowed_drop": 1})
print("ready", flush=True)
sys.stdin.readline()
tries = 0
while True:
    tries += 1
    run.compare()
    try:
        print(run.accept().entry.number, tries)
        break
    except AerieError as error:
        assert "was accepted as number" in str(error), error
"""


def race(storage, names):
    """The numbers that processes got who all compare, accept, and compare again when another was first."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/servers'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RACE, storage]
    racers = [
        subprocess.Popen([*command, name], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in names
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    return [int(racer.communicate(timeout=60)[0].split()[0]) for racer in racers]


@pytest.mark.parametrize("place", ["disk", "bucket"])
def test_runs_that_end_at_once_form_one_line(place, tmp_path, request):
    storage = str(tmp_path) if place == "disk" else request.getfixturevalue("s3_uri")
    numbers = race(storage, ["a", "b", "c"])
    assert sorted(numbers) == [1, 2, 3]
    found = entries(join(storage, "registry"), "gated")
    assert [entry.predecessor for entry in found] == ["", *(entry.checkpoint for entry in found[:-1])]
    assert len({entry.checkpoint for entry in found}) == 3
    assert not [name for name in files_below(join(storage, "registry")) if "tmp" in name]


def test_the_commit_comes_from_the_environment_or_the_checkout(monkeypatch, tmp_path):
    assert acceptance.code_version() == "0123abc"
    monkeypatch.delenv("AERIE_GIT_SHA")
    if (ROOT / ".git").exists():
        assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", acceptance.code_version())
    monkeypatch.setattr(acceptance, "ROOT", tmp_path)
    assert acceptance.code_version() == ""


def test_an_accepted_one_is_told_to_the_model_registry(tmp_path, monkeypatch):
    import model_registry_api
    from faulty_http import FaultyServer

    with FaultyServer(model_registry_api.__file__) as server:
        run = GatedRun(str(tmp_path), "a", answers(15), {"model_registry_url": "http://127.0.0.1:9"})
        run.compare()
        monkeypatch.setenv("MODEL_REGISTRY_URL", server.url)
        accepted = run.accept()
        assert accepted.published.version_id
        (artifact,) = [item for item in server.state() if item["kind"] == "model_artifact"]
        assert artifact["uri"] == f"{tmp_path}/a/stage_2"
    monkeypatch.delenv("MODEL_REGISTRY_URL")
    with pytest.raises(AerieError, match="can't be reached"):
        run.accept()
    assert len(entries(run.registry, "gated")) == 1, "entered before, and found again"
