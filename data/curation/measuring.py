"""Measuring whole shards: by columns where they suffice, by exact rules for the few rows that a screen lets through."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.curation.measure_tables import Measured, commit_measures, measure_mark, write_measures
from data.curation.measures import MEASURES, VERSION
from data.curation.repetition import repetition
from data.curation.rules_repetition import LONG_WORD, LOOP_FROM
from data.curation.screens import Columns, screens
from data.curation.turns import ASSISTANT, COLUMNS, SYSTEM, USER, Turns, flatten
from data.files import join
from data.shardwise import shard_table
from data.storage import Manifest, Shard, committed, shard_payload

FOLDER = "measures"
KEYS = ("sample_id", "source", "category")
MEASURES_SCHEMA = pa.schema(
    [pa.field(key, pa.string(), nullable=False) for key in KEYS]
    + [pa.field(name, pa.float32() if one.share else pa.int32(), nullable=False) for name, one in MEASURES.items()]
)


def measure_samples(gate_uri: str, gate: Manifest, out_uri: str, workers: int) -> Manifest:
    """The measures of every row as a table of its own in OUT/measures; measured once."""
    folder, lineage = join(out_uri, FOLDER), {"gate": gate.sha256()}
    mark = measure_mark(FOLDER, VERSION, lineage)
    if (done := committed(folder, mark)) is not None:
        return done
    return commit_measures(folder, FOLDER, mark, gate_uri, gate, lineage, partial(measure_shard, folder), workers)


def measure_shard(out_uri: str, folder: str, shard: Shard) -> Measured:
    """Measure one shard; the pictures' bytes are not read."""
    table = shard_table(shard_payload(folder, shard, "gate"), COLUMNS)
    return write_measures(out_uri, FOLDER, shard, measured(table), table["source"])


def measured(table: pa.Table) -> pa.Table:
    """Rows of `MEASURES_SCHEMA` for a table that has the `COLUMNS`, in order."""
    columns = Columns.of(flatten(table))
    values, suspects = by_columns(columns)
    suspects |= screens(columns)
    _exactly(columns.turns, values, suspects)
    arrays = [table[key].combine_chunks() for key in KEYS]
    arrays += [pa.array(values[name]).cast(MEASURES_SCHEMA.field(name).type) for name in MEASURES]
    return pa.Table.from_arrays(arrays, schema=MEASURES_SCHEMA)


def by_columns(columns: Columns) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(values [R], rows that need the exact rule bool [R]) of the measures that are numbers of columns."""
    turns = columns.turns
    chars = pc.utf8_length(turns.texts).to_numpy(zero_copy_only=False).astype(np.int64)
    answer_row = turns.row[turns.answer]
    longest, ratio = np.zeros(turns.rows, np.int64), np.zeros(turns.rows)
    np.maximum.at(longest, turns.row, chars)
    repeated = repetition(columns.answers)
    np.maximum.at(ratio, answer_row, repeated.ratio)
    values = {
        "order_errors": _order_errors(turns),
        "answer_chars": np.bincount(answer_row, chars[turns.answer], turns.rows),
        "max_turn_chars": longest,
        "repeated_ngram_ratio": ratio,
    }
    # A text that repeats no n-grams has neither loops nor repeated lines.
    again = columns.rows(repeated.ratio > LOOP_FROM - 1e-6)
    return values, {
        "repeated_ngram_ratio": columns.rows(repeated.by_characters),
        "loop_share": again | columns.rows(repeated.longest >= LONG_WORD),
        "repeated_line_ratio": again,
    }


def _exactly(turns: Turns, values: dict[str, np.ndarray], suspects: dict[str, np.ndarray]) -> None:
    """Ask the exact rules about the suspects; all other rows have what they have, or 0."""
    talks = turns.talks(np.flatnonzero(np.logical_or.reduce(list(suspects.values()))))
    for name, rows in suspects.items():
        column = values.setdefault(name, np.zeros(turns.rows))
        exact = MEASURES[name].exact
        for row in np.flatnonzero(rows).tolist():
            column[row] = exact(talks[row])[0]


def _order_errors(turns: Turns) -> np.ndarray:
    """See `rules_turns.order_errors`: turns that break the order, and one more for a conversation that ends early."""
    start = turns.first[:-1]
    full = np.flatnonzero(np.diff(turns.first))
    lead = np.zeros(turns.rows, np.int64)
    lead[full] = turns.role[start[full]] == SYSTEM
    place = np.arange(len(turns.role)) - (start + lead)[turns.row]
    expected = np.where(place % 2 == 0, USER, ASSISTANT)
    wrong = (place >= 0) & (turns.role != expected)
    errors = np.bincount(turns.row[wrong], minlength=turns.rows)
    last = np.ones(turns.rows, np.int64)
    last[full] = turns.role[turns.first[1:][full] - 1] != ASSISTANT
    return errors + last
