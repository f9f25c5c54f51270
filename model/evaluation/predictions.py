"""Predictions as they are stored: once, raw, to be scored by any rule set later."""

import dataclasses
import io
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from data.storage import Manifest, parquet_table, read_attachment

PREDICTION_SCHEMA = pa.schema(
    [
        pa.field("question_id", pa.string(), nullable=False),
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("answer_type", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("output", pa.string(), nullable=False),
        pa.field("majority", pa.string(), nullable=False),
        pa.field("blind", pa.bool_(), nullable=False),
        pa.field("checkpoint", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One answer of one checkpoint to one question.

    `output` is the raw generated text without the end token; `majority` the majority baseline's answer to the same
    question; `blind` says that the images were blanked; `checkpoint` is the hash of the checkpoint's manifest.
    """

    question_id: str
    sample_id: str
    source: str
    category: str
    task: str
    answer_type: str
    prompt: str
    answer: str
    output: str
    majority: str
    blind: bool
    checkpoint: str


def predictions_parquet(predictions: Iterable[Prediction]) -> bytes:
    """Predictions as one Parquet file in memory."""
    rows = [dataclasses.asdict(prediction) for prediction in predictions]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=PREDICTION_SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def read_predictions(folder: str, manifest: Manifest) -> list[Prediction]:
    """The predictions that an evaluation attached."""
    table = parquet_table(read_attachment(folder, manifest, "predictions"))
    return [Prediction(**row) for row in table.select(PREDICTION_SCHEMA.names).to_pylist()]
