"""The packs of an epoch in training order: planned, written as table rows, and hashed."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from model.inputs.packing import Strategy, plan_packs
from model.inputs.packing_plan import PackPlan
from model.inputs.uses import PACK_SCHEMA
from model.recipe import StageSettings

ROWS_AT_ONCE = 1 << 18
HASHED = ("epoch", "pack", "order", "sample_id", "tokens", "tiles", "turns")  # not where the sample is stored


def plan_epoch(
    uses: pa.Table, settings: StageSettings, *, seed: int, stage: str, epoch: int, strategy: Strategy | None = None
) -> PackPlan:
    """The epoch's packs of use numbers (rows of `USE_SCHEMA`) in training order; `strategy` None: the recipe's.

    Uses are shuffled before the plan (equal lengths then meet other neighbours each epoch), packs after it. The number
    of ranks plays no part: a step takes the next packs, however many ranks share them.
    """
    digest = hashlib.sha256(f"{seed}/{stage}/{epoch}/packs".encode()).digest()
    generator = np.random.RandomState(np.frombuffer(digest, "<u4"))  # its numbers never change with NumPy's version
    shuffled = generator.permutation(uses.num_rows)
    plan = plan_packs(
        uses["tokens"].to_numpy()[shuffled],
        settings.capacity,
        strategy=strategy or settings.packing,
        tiles=uses["tiles"].to_numpy()[shuffled],
        max_tiles=settings.max_tiles_per_pack,
    )
    return PackPlan(shuffled[plan.members], plan.starts).reordered(generator.permutation(len(plan)))


def pack_tables(uses: pa.Table, plan: PackPlan, epoch: int, first_pack: int) -> Iterator[pa.Table]:
    """Rows of `PACK_SCHEMA` for one epoch, packs numbered from `first_pack`, in tables of bounded size."""
    uses, packs = uses.combine_chunks(), np.repeat(np.arange(len(plan)), plan.sizes)
    order = np.arange(len(packs)) - plan.starts[packs]
    for start in range(0, len(packs), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        chosen = uses.take(pa.array(plan.members[rows]))
        columns = [np.full(chosen.num_rows, epoch), packs[rows] + first_pack, order[rows], *chosen.columns]
        yield pa.table(columns, names=PACK_SCHEMA.names).cast(PACK_SCHEMA)


class PlanHash:
    """SHA-256 of a plan's content: which turns of which sample (by its content hash) are in which pack, in which order.

    The same samples in the same order give the same hash on every machine and for any number of ranks, however the
    rows are cut into tables and files.
    """

    def __init__(self) -> None:
        self._columns = {name: hashlib.sha256() for name in HASHED}

    def update(self, table: pa.Table) -> None:
        """The next rows of `PACK_SCHEMA`."""
        for name, column in self._columns.items():
            column.update(_content(table[name]))

    def hexdigest(self) -> str:
        """The hash of all rows so far."""
        return hashlib.sha256("".join(column.hexdigest() for column in self._columns.values()).encode()).hexdigest()


def _content(column: pa.ChunkedArray) -> bytes:
    """Numbers as int64, little end first; texts, and lists of numbers as text, each with a line end."""
    if pa.types.is_integer(column.type):
        return bytes(column.to_numpy().astype("<i8").tobytes())
    if pa.types.is_list(column.type):
        column = pc.binary_join(column.cast(pa.list_(pa.string())), ",")
    return "".join(f"{text}\n" for text in column.to_pylist()).encode()
