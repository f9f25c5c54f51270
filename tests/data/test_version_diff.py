"""Two versions compared: runs' folders with real manifests, and snapshots whose manifests are away."""

import json

import pytest
import yaml

from data.errors import AerieError
from data.ledger import StepCount
from data.snapshots import Snapshot, StepFacts, run_snapshot, snapshot
from data.storage import Manifest, attach, commit
from data.version_diff import Change, diff


def step(folder, name, quota=5, **rows):
    """A committed step with so many rows of each source."""
    place = str(folder / name)
    attachments = {}
    if name == "selection":
        facts = [{"group": "category chart_table", "stage_2": quota, "quota": quota}, {"group": "source a"}]
        attachments["expectations"] = attach(place, "expectations.json", json.dumps({"facts": facts}).encode())
    counts = tuple(StepCount(source=source, rows_in=count, rows_out=count) for source, count in rows.items())
    manifest = Manifest(
        step=name,
        fingerprint="",
        recipe_sha256="",
        rows=sum(rows.values()),
        shards=(),
        counts=counts,
        attachments=attachments,
    )
    commit(place, manifest)


def run(folder, *, quota=5, sources=("a", "b"), rows=9):
    data = {"sources": [{"name": name, "max_samples": rows} for name in sources], "selection": {"quota": quota}}
    folder.mkdir()
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"name": folder.name, "seed": 1, "data": data, "model": quota}))
    for source in sources:
        step(folder, f"sourcing/{source}", **{source: rows})
    for name in ("validation", "selection", "formatting"):
        step(folder, name, quota, **dict.fromkeys(sources, rows))
    return str(folder)


def test_runs_are_compared_by_their_manifests(tmp_path):
    before = run_snapshot(run(tmp_path / "one"))
    after = run_snapshot(run(tmp_path / "two", quota=7, sources=("a", "c"), rows=9))
    found = diff(before, after)
    assert not found.equal
    assert {change.what: (change.before, change.after) for change in found.params} == {
        "data.selection.quota": (5, 7),
        "data.sources.b": ("listed", None),
        "data.sources.b.max_samples": (9, None),
        "data.sources.c": (None, "listed"),
        "data.sources.c.max_samples": (None, 9),
    }
    assert [change.what for change in found.steps] == [
        "sourcing/a",
        "sourcing/b",
        "sourcing/c",
        "validation",
        "selection",
        "formatting",
    ]
    same = [change.what for change in found.steps if change.before == change.after]
    assert same == ["sourcing/a"]
    assert [(name, change.what, change.before, change.after) for name, change in found.rows][:4] == [
        ("sourcing/b", "b", 9, None),
        ("sourcing/c", "c", None, 9),
        ("validation", "b", 9, None),
        ("validation", "c", None, 9),
    ]
    assert found.quotas == (Change(what="chart_table", before=5, after=7),)
    assert found.drawn == found.quotas


def test_a_run_equals_its_copy(tmp_path):
    found = diff(run_snapshot(run(tmp_path / "one")), run_snapshot(run(tmp_path / "two")))
    assert found.equal
    assert (found.params, found.rows, found.quotas, found.drawn) == ((), (), (), ())


def test_a_run_is_found_by_its_folder_and_an_empty_folder_is_a_mistake(tmp_path):
    assert snapshot(run(tmp_path / "one"), tmp_path).steps["formatting"].rows == {"a": 9, "b": 9}
    (tmp_path / "empty").mkdir()
    with pytest.raises(AerieError, match="holds no finished data step"):
        snapshot(str(tmp_path / "empty"), tmp_path)


def facts(output, sha256="", **rows):
    return StepFacts(output=output, sha256=sha256, rows=rows, total=sum(rows.values()))


def test_without_manifests_hashes_of_dvc_are_compared_and_rows_are_not_made_up():
    before = Snapshot(name="v1", steps={"gate": facts("x"), "filtering": facts("y")}, params={}, away=("gate",))
    after = Snapshot(name="v2", steps={"gate": facts("x", "1", a=3), "filtering": facts("z", "2", a=2)}, params={})
    found = diff(before, after)
    assert found.steps == (
        Change(what="gate", before="x", after="x"),
        Change(what="filtering", before="y", after="z"),
    )
    assert found.rows == ()
