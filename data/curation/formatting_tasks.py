"""The task of every answer of a table, read from the `meta` column without building a value for the rest of it."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.json as pj

UNDECLARED = "open"
TASK_FIELDS = pa.schema([("task", pa.string()), ("tasks", pa.list_(pa.string()))])


def declared_tasks(meta: pa.Array) -> list[list[str] | str]:
    """Per row: the task of each answer (`meta.tasks`), or the one task of them all (`meta.task`, else "open")."""
    if not len(meta):
        return []
    try:
        many, one = _columns(meta)
        return [tasks or task or UNDECLARED for tasks, task in zip(many, one, strict=True)]
    except pa.ArrowInvalid:  # a task that is no text, a NaN somewhere: rare, and Python's reader takes them
        return [_declared(json.loads(text)) for text in meta.to_pylist()]


def _columns(meta: pa.Array) -> tuple[list[list[str] | None], list[str | None]]:
    # JSON in one line a row: text from json.dumps holds no bare line feed.
    payload = "\n".join(meta.to_pylist()).encode()
    table = pj.read_json(
        pa.BufferReader(payload),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(payload) + 1),
        parse_options=pj.ParseOptions(explicit_schema=TASK_FIELDS, unexpected_field_behavior="ignore"),
    )
    if table.num_rows != len(meta):
        raise pa.ArrowInvalid(f"{table.num_rows} rows read of {len(meta)}")
    return table["tasks"].to_pylist(), table["task"].to_pylist()


def _declared(meta: dict[str, Any]) -> list[str] | str:
    if meta.get("tasks"):
        return [str(task) for task in meta["tasks"]]
    return str(meta.get("task") or UNDECLARED)
