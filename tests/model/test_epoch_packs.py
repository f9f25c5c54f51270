"""An epoch's packs: their order, their rows and their hash."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from model.inputs import epoch_packs
from model.inputs.epoch_packs import PlanHash, pack_tables, plan_epoch
from model.inputs.packing_plan import PackPlan
from model.inputs.uses import PACK_SCHEMA, SampleUse, use_table
from model.recipe import StageSettings

SETTINGS = StageSettings(learning_rate=1e-3, capacity=64)


def use(number: int, tokens: int, tiles: int = 0, **values) -> SampleUse:
    fields = {"sample_id": f"s{number}", "source": "here", "category": "text_only", "turns": (0,), "shard": 0}
    return SampleUse(**{**fields, "row": number, "tokens": tokens, "tiles": tiles, **values})


def rows() -> pa.Table:
    uses = use_table([use(number, 10 + number % 3, turns=(number, 1)) for number in range(40)])
    return pa.concat_tables(pack_tables(uses, plan_epoch(uses, SETTINGS, seed=7, stage="s", epoch=0), 0, 0))


def digest(*tables: pa.Table) -> str:
    found = PlanHash()
    for table in tables:
        found.update(table)
    return found.hexdigest()


def test_epochs_differ_in_order_but_not_in_content():
    uses = use_table([use(number, 10 + number % 3) for number in range(40)])
    plans = [plan_epoch(uses, SETTINGS, seed=7, stage="stage_2", epoch=epoch) for epoch in (0, 0, 1)]
    assert plans[0].members.tolist() == plans[1].members.tolist() != plans[2].members.tolist()
    for plan in plans:
        assert sorted(plan.members.tolist()) == list(range(40))
        assert plan.sums(uses["tokens"].to_numpy()).max() <= 64


def test_table_rows_follow_the_plan(monkeypatch):
    monkeypatch.setattr(epoch_packs, "ROWS_AT_ONCE", 2)
    uses = use_table([use(0, 10), use(1, 20, tiles=2), use(2, 30)])
    tables = pack_tables(uses, PackPlan(np.array([2, 1, 0]), np.array([0, 1, 3])), epoch=1, first_pack=5)
    assert isinstance(tables, Iterator)
    table = pa.concat_tables(tables)
    assert table.schema == PACK_SCHEMA
    assert table.select(["epoch", "pack", "order", "sample_id", "tokens", "tiles", "row"]).to_pylist() == [
        {"epoch": 1, "pack": 5, "order": 0, "sample_id": "s2", "tokens": 30, "tiles": 0, "row": 2},
        {"epoch": 1, "pack": 6, "order": 0, "sample_id": "s1", "tokens": 20, "tiles": 2, "row": 1},
        {"epoch": 1, "pack": 6, "order": 1, "sample_id": "s0", "tokens": 10, "tiles": 0, "row": 0},
    ]


def test_the_hash_is_this_one_on_every_machine_and_however_the_rows_are_cut():
    table = rows()
    assert digest(table) == "bea51858b057a89c0713510779f600c4727802ca5a8d050165bd3f925ae066b3"
    assert digest(table.slice(0, 7), table.slice(7, 1), table.slice(8)) == digest(table)
    moved = table.set_column(table.schema.get_field_index("row"), "row", pa.array(range(40), pa.int32()))
    assert digest(moved) == digest(table)  # where a sample is stored is no part of the plan


@pytest.mark.parametrize("name", ["epoch", "pack", "order", "sample_id", "tokens", "tiles", "turns"])
def test_the_hash_changes_with_each_part_of_the_plan(name):
    table = rows()
    values = table[name].to_pylist()
    values[3] = {"sample_id": "other", "turns": [9]}.get(name, 99)
    place = table.schema.get_field_index(name)
    assert digest(table.set_column(place, name, pa.array(values, table.schema.field(name).type))) != digest(table)
