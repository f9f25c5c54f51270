"""Predictions that other tools wrote, as rows: Parquet, JSON lines, JSON, CSV, TSV, XLSX. Each row keeps its place.

VLMEvalKit writes `MODEL_DATASET.xlsx` (with PRED_FORMAT=tsv or json another form) with the columns index, question,
answer, A, B, ..., prediction; lmms-eval's --log_samples writes `..._samples_TASK.jsonl` with doc_id, doc, target,
resps and filtered_resps.
"""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
import pyarrow as pa

from data.errors import AerieError
from data.files import read_bytes
from data.storage import parquet_table

ID_COLUMNS = ("question_id", "index", "doc_id", "id")
OUTPUT_COLUMNS = ("output", "prediction", "filtered_resps", "resps")
API_FAILED = "Failed to obtain answer via API"  # what VLMEvalKit writes where a model gave no answer
NAMED = 3  # rows that a message lists


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row: its place in words ("row 3", "line 3"), counted from 1 without a header, and its values by column."""

    place: str
    values: Mapping[str, Any]


def read_rows(uri: str) -> list[FileRow]:
    """The rows of a file, local or s3://. `AerieError` names the file and line that can't be read."""
    suffix = PurePosixPath(uri).suffix.lower()
    if suffix not in READERS:
        raise AerieError(f"{uri}: predictions are read from {', '.join(READERS)} files, or from an evaluation's folder")
    rows = READERS[suffix](uri, read_bytes(uri))
    if not rows:
        raise AerieError(f"{uri} has no rows")
    return rows


def _parquet(uri: str, payload: bytes) -> list[FileRow]:
    try:
        return _numbered(parquet_table(payload).to_pylist())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise AerieError(f"{uri} can't be read as Parquet: {error}") from None


def _json_lines(uri: str, payload: bytes) -> list[FileRow]:
    rows = []
    for number, line in enumerate(_text(uri, payload).split("\n"), 1):  # splitlines would part at U+2028 too
        if line.strip():
            rows.append(FileRow(f"line {number}", _object(uri, f"line {number}", line)))
    return rows


def _json(uri: str, payload: bytes) -> list[FileRow]:
    try:
        document = json.loads(_text(uri, payload))
    except ValueError as error:
        raise AerieError(f"{uri} can't be read as JSON: {error}") from None
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise AerieError(f"{uri} must hold a list of objects, one for each question")
    return _numbered(document)


def _delimited(uri: str, payload: bytes, *, separator: str) -> list[FileRow]:
    text = _text(uri, payload)
    try:
        # Cells stay as they are: pandas would take an answer "None" or "NA" for a missing one.
        frame = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    except ValueError as error:  # its parser's errors are some
        raise AerieError(f"{uri} can't be read as {uri[-3:].upper()}: {error}") from None
    return _numbered(frame.to_dict("records"))


def _xlsx(uri: str, payload: bytes) -> list[FileRow]:
    try:
        frame = pd.read_excel(io.BytesIO(payload), dtype=str, keep_default_na=False, engine="openpyxl")
    except ImportError:
        raise AerieError(
            f"{uri}: XLSX needs the package openpyxl (pip install 'aerie[xlsx]'); or save the sheet as TSV, which "
            "VLMEvalKit writes by itself with PRED_FORMAT=tsv"
        ) from None
    except Exception as error:  # openpyxl raises KeyError, BadZipFile and others on damaged files
        raise AerieError(f"{uri} can't be read as XLSX: {error}") from None
    return _numbered(frame.to_dict("records"))


READERS: dict[str, Callable[[str, bytes], list[FileRow]]] = {
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": partial(_delimited, separator=","),
    ".tsv": partial(_delimited, separator="\t"),
    ".xlsx": _xlsx,
}


def is_missing(value: Any) -> bool:
    """True for no value at all: null, NaN."""
    return value is None or (isinstance(value, float) and value != value)


def output_of(uri: str, row: FileRow, column: str, empty_ok: bool) -> str | None:
    """A row's raw output; None when there is none. Lists of one, as lmms-eval writes, are unwrapped."""
    value = row.values.get(column)
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list) and value:
        raise AerieError(
            f"{uri}: {row.place} has {len(value)} outputs in column {column!r}; a question is scored by one"
        )
    if is_missing(value) or value == []:
        return None
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise AerieError(f"{uri}: {row.place} has {value!r} in column {column!r}; text was expected")
    text = str(value)
    return None if API_FAILED in text or (not text and not empty_ok) else text


def tells_empty(uri: str) -> bool:
    """Whether the file's format tells an empty output from a missing one; cells of a table don't."""
    return PurePosixPath(uri).suffix.lower() in {".parquet", ".jsonl", ".json"}


def column_of(uri: str, rows: list[FileRow], wanted: tuple[str, ...], what: str) -> str:
    """The first of the wanted columns that the file has; `AerieError` names the columns that it has."""
    present = {name for row in rows for name in row.values}
    for name in wanted:
        if name in present:
            return name
    raise AerieError(
        f"{uri} has no column for {what} ({' or '.join(wanted)}); it has {', '.join(sorted(map(str, present)))}: "
        "rename the column that holds it"
    )


def id_text(value: Any) -> str:
    """An id as text; spreadsheets turn 7 into 7.0."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def listed(items: list[str]) -> str:
    """The first few of a list, and how many more."""
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + more


def _numbered(values: list[dict[str, Any]]) -> list[FileRow]:
    return [FileRow(f"row {number}", row) for number, row in enumerate(values, 1)]


def _object(uri: str, place: str, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise AerieError(f"{uri}: {place} can't be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise AerieError(f"{uri}: {place} must be a JSON object with the keys of one question")
    return value


def _text(uri: str, payload: bytes) -> str:
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AerieError(f"{uri} is no UTF-8 text (byte {error.start}); save it as UTF-8") from None
