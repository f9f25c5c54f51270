"""Predictions as they are stored: once, raw, to be scored by any rule set later."""

import io
import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.storage import Manifest, parquet_table, read_attachment
from model.evaluation.answered import Answered
from model.evaluation.questions import Question

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
        pa.field("rule", pa.string(), nullable=False),
        pa.field("answers", pa.list_(pa.string()), nullable=False),
        pa.field("options", pa.list_(pa.struct([("letter", pa.string()), ("text", pa.string())])), nullable=False),
        pa.field("facts", pa.string(), nullable=False),
        pa.field("images", pa.list_(pa.string()), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One answer of one checkpoint to one question.

    `output` is the raw generated text without the end token; `majority` the majority baseline's answer to the same
    question; `blind` says that the images were blanked; `checkpoint` is the hash of the checkpoint's manifest.
    `rule`, `answers`, `options` and `facts` are those of `Answered`; `answer` is the first of `answers`. `images` are
    the SHA-256 of the image files in the prompt's order.
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
    rule: str
    answers: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    images: tuple[str, ...] = ()

    def answered(self) -> Answered:
        """What a scorer may look at."""
        return Answered(
            question_id=self.question_id,
            benchmark=self.source,
            rule=self.rule,
            prompt=self.prompt,
            output=self.output,
            answers=self.answers,
            options=self.options,
            facts=self.facts,
        )


def _row(prediction: Prediction) -> dict[str, Any]:
    row = {name: getattr(prediction, name) for name in PREDICTION_SCHEMA.names}
    row["options"] = [{"letter": letter, "text": text} for letter, text in prediction.options]
    row["facts"] = json.dumps(dict(prediction.facts), sort_keys=True, ensure_ascii=False)
    return row


def _prediction(row: dict[str, Any]) -> Prediction:
    row["options"] = tuple((option["letter"], option["text"]) for option in row["options"])
    row["answers"], row["images"] = tuple(row["answers"]), tuple(row["images"])
    return Prediction(**{**row, "facts": json.loads(row["facts"])})


def predicted(
    question: Question, output: str, *, checkpoint: str, blind: bool = False, majority: str = ""
) -> Prediction:
    """A checkpoint's output beside all that is known of its question."""
    return Prediction(
        question_id=question.question_id,
        sample_id=question.sample_id,
        source=question.source,
        category=question.category,
        task=question.task,
        answer_type=question.answer_type,
        prompt=question.prompt,
        answer=question.answer,
        output=output,
        majority=majority,
        blind=blind,
        checkpoint=checkpoint,
        rule=question.rule,
        answers=question.answers,
        options=question.options,
        facts=question.facts,
        images=tuple(image.content_hash() for image in question.images),
    )


def predictions_parquet(predictions: Iterable[Prediction], metadata: Mapping[str, str] | None = None) -> bytes:
    """Predictions as one Parquet file in memory, `metadata` in its schema."""
    schema = PREDICTION_SCHEMA.with_metadata(dict(metadata)) if metadata else PREDICTION_SCHEMA
    rows = [_row(prediction) for prediction in predictions]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def table_predictions(table: pa.Table) -> list[Prediction]:
    """The predictions of a table of `PREDICTION_SCHEMA`."""
    return [_prediction(row) for row in table.select(PREDICTION_SCHEMA.names).to_pylist()]


def read_predictions(folder: str, manifest: Manifest) -> list[Prediction]:
    """The predictions that an evaluation attached."""
    return predictions_of(read_attachment(folder, manifest, "predictions"))


def heldout_name(source: str, benchmarks: Container[str]) -> str:
    """What the held-out part of a source is called beside a benchmark of the same name, whose training part it is."""
    return f"{source} (held out)" if source in benchmarks else source


def read_benchmarks(folder: str, manifest: Manifest) -> list[Prediction]:
    """The answers to benchmarks, local and public, that an evaluation attached; none where it asked none."""
    if "benchmarks" not in manifest.attachments:
        return []
    return predictions_of(read_attachment(folder, manifest, "benchmarks"))


def predictions_of(payload: bytes) -> list[Prediction]:
    """The predictions in a Parquet file."""
    return table_predictions(parquet_table(payload))
