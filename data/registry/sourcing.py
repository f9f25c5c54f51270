"""The sourcing step: one source card read by its adapter into shards, a held-out file and a quarantine."""

import importlib
import importlib.util
import inspect
import io
from collections.abc import Iterable
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

from data.errors import AerieError
from data.ledger import Tally
from data.progress import Progress
from data.recipe import load_data_recipe
from data.registry.cards import SourceCard, recipe_card
from data.registry.rows import Adapter, RawRow, Rejected
from data.registry.side_files import SideFile
from data.schema import SAMPLE_SCHEMA, Sample, samples_to_table
from data.storage import Manifest, ShardWriter, commit, committed, fingerprint

VERSION = 2
BATCH_ROWS = 256
QUARANTINE_SCHEMA = pa.schema([(name, pa.string()) for name in ("key", "source", "reason", "detail", "split")])


def load_adapter(card: SourceCard) -> Adapter:
    """The adapter module of a card, checked before anything is read; `AerieError` says what it lacks."""
    name = f"data.registry.adapters.{card.adapter}"
    if importlib.util.find_spec(name) is None:
        raise AerieError(f"card {card.name!r}: no adapter {card.adapter!r} in data/registry/adapters/")
    module = importlib.import_module(name)
    for function, parameters in (("read", ["card", "use", "seed"]), ("identity", ["card"])):
        offered = getattr(module, function, None)
        if not callable(offered) or list(inspect.signature(offered).parameters) != parameters:
            raise AerieError(f"adapter {card.adapter!r} must define {function}({', '.join(parameters)})")
    return cast(Adapter, module)


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as one Parquet file in memory."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=BATCH_ROWS)
    return sink.getvalue()


def quarantine_table(rejected: Iterable[tuple[str, Rejected]]) -> pa.Table:
    """(source, rejected row) pairs as a table of `QUARANTINE_SCHEMA`."""
    rows = [
        {"key": row.key, "source": source, "reason": row.reason, "detail": row.detail, "split": row.split}
        for source, row in rejected
    ]
    return pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA)


def source_samples(recipe_uri: str, recipe_sha256: str, source: str, out_uri: str) -> Manifest:
    """Read one source of the recipe.

    Shards hold the training samples; attachments: `heldout` (Parquet of `SAMPLE_SCHEMA`) and `quarantine`
    (`QUARANTINE_SCHEMA`). The ledger counts training rows; a bad held-out row stands in quarantine only.
    """
    recipe = load_data_recipe(recipe_uri, recipe_sha256)
    use = recipe.data.source(source)
    card = recipe_card(recipe, source)
    adapter = load_adapter(card)
    identity = adapter.identity(card)
    mark = fingerprint(
        step="sourcing",
        version=VERSION,
        card=card.reading(),
        use=use.model_dump(),
        identity=identity,
        seed=recipe.seed,
        rows_per_shard=recipe.data.rows_per_shard,
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    tally = Tally("sourcing")
    writer = ShardWriter(out_uri, rows_per_shard=recipe.data.rows_per_shard)
    with SideFile[Sample](SAMPLE_SCHEMA, samples_to_table) as heldout, _quarantine(source) as quarantine:
        _sort_rows(source, adapter.read(card, use, recipe.seed), tally, writer, heldout, quarantine)
        shards = writer.close()
        attachments = {
            "heldout": heldout.attach(out_uri, "heldout.parquet"),
            "quarantine": quarantine.attach(out_uri, "quarantine.parquet"),
        }
    return commit(
        out_uri,
        Manifest(
            step="sourcing",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=sum(shard.rows for shard in shards),
            shards=shards,
            counts=tally.counts(),
            lineage={card.uri: identity},
            attachments=attachments,
        ),
    )


def _quarantine(source: str) -> SideFile[Rejected]:
    return SideFile(QUARANTINE_SCHEMA, lambda rows: quarantine_table((source, row) for row in rows))


def _sort_rows(
    source: str,
    rows: Iterable[RawRow],
    tally: Tally,
    writer: ShardWriter,
    heldout: SideFile[Sample],
    quarantine: SideFile[Rejected],
) -> None:
    """Training samples go to the writer, the others to the side files; none is held longer than its batch."""
    batch: list[Sample] = []
    progress = Progress(f"sourcing {source}", None)
    tally.take(source, 0)  # a source without a single row still has its line in the ledger
    for row in rows:
        progress.update()
        if row.split == "train":
            tally.take(source)
        if isinstance(row, Rejected):
            quarantine.add(row)
            if row.split == "train":
                tally.drop(source, row.reason)
        elif row.split == "heldout":
            heldout.add(row.sample)
        else:
            tally.keep(source)
            batch.append(row.sample)
            if len(batch) == BATCH_ROWS:
                writer.write_samples(batch)
                batch = []
    writer.write_samples(batch)
    progress.close()
