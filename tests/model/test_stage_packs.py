import json

import pytest

from data.errors import AerieError
from data.storage import read_attachment, read_manifest, read_tables
from model.recipe import STAGES
from model.steps import pack_stage


def rows_of(folder):
    return [row for table in read_tables(folder, read_manifest(folder)) for row in table.to_pylist()]


@pytest.mark.parametrize("stage", STAGES)
def test_packs_hold_the_samples_of_the_stage_within_the_capacity(finished_run, stage):
    _, _, run = finished_run
    selected = {
        row["sample_id"] for row in rows_of(f"{run}/formatting") if stage in (json.loads(row["meta"])["stages"])
    }
    packs = {}
    for row in rows_of(f"{run}/packing/{stage}"):
        packs.setdefault(row["pack"], []).append(row)
    assert {row["sample_id"] for rows in packs.values() for row in rows} == selected
    assert list(packs) == list(range(len(packs)))
    assert all(sum(row["tokens"] for row in rows) <= 1024 for rows in packs.values())
    assert all([row["order"] for row in rows] == list(range(len(rows))) for rows in packs.values())


def test_the_report_compares_every_strategy_and_counts_every_token(finished_run):
    _, _, run = finished_run
    folder = f"{run}/packing/stage_1_5"
    report = json.loads(read_attachment(folder, read_manifest(folder), "report"))
    rows = rows_of(folder)
    assert report["tokens"] == sum(row["tokens"] for row in rows)
    assert report["metrics"]["packs"] == len({row["pack"] for row in rows})
    assert report["metrics"]["fill"] == pytest.approx(report["tokens"] / (report["metrics"]["packs"] * 1024))
    assert len(report["strategies"]) > 1
    assert report["strategy"] in report["strategies"]


def test_samples_of_other_stages_are_counted_with_their_reason(finished_run):
    _, _, run = finished_run
    counts = read_manifest(f"{run}/packing/stage_1").counts
    assert not any(count.gap() for count in counts)
    assert sum(count.dropped.get("not_in_stage", 0) for count in counts) > 0


def test_packing_again_gives_the_same_bytes(finished_run, tmp_path):
    recipe, sha256, run = finished_run
    again = pack_stage(recipe, sha256, "stage_2", f"{run}/formatting", f"{run}/tokenizer", str(tmp_path))
    assert again.sha256() == read_manifest(f"{run}/packing/stage_2").sha256()


def test_an_unknown_stage_is_named(finished_run, tmp_path):
    recipe, sha256, run = finished_run
    with pytest.raises(AerieError, match="stage_3"):
        pack_stage(recipe, sha256, "stage_3", f"{run}/formatting", f"{run}/tokenizer", str(tmp_path))
