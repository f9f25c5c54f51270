"""Answers as they come: Parquet shards, each written whole, so that a killed evaluation goes on where it stopped."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from data.errors import AerieError
from data.files import exists, join, read_bytes, write_bytes
from data.folders import remove_folder
from data.progress import Progress
from data.shardwise import write_shard
from data.storage import Shard, fingerprint, parquet_table, shard_payload
from model.evaluation.predictions import Prediction, predictions_parquet, table_predictions

SETTINGS_FILE = "settings.json"
MARK = "aerie.settings"
QUESTIONS_PER_SHARD = 512  # what a kill can cost; each shard is asked by itself, so its batches never depend on a kill

Key = tuple[str, bool]  # question_id, blind
Ask = Callable[[int, int, Progress], Sequence[Prediction]]


def begun_with(folder: str) -> dict[str, Any] | None:
    """The settings that a folder's answers were begun with; None when none were. `AerieError`: damaged."""
    uri = join(folder, SETTINGS_FILE)
    if not exists(uri):
        return None
    try:
        settings = json.loads(read_bytes(uri))
        if not isinstance(settings, dict):
            raise ValueError("no JSON object")
    except ValueError as error:
        raise AerieError(f"{uri} is damaged ({error}); remove {folder} and evaluate again") from error
    return settings


def drop_others(folder: str, settings: Mapping[str, Any]) -> None:
    """Remove answers that were begun with other settings, as another checkpoint's: they are never mixed."""
    if begun_with(folder) not in (None, settings):
        remove_folder(folder)


def settings_bytes(settings: Mapping[str, Any]) -> bytes:
    """Settings as their file."""
    return json.dumps(settings, indent=1, sort_keys=True).encode()


def answer_in_shards(
    folder: str,
    settings: Mapping[str, Any],
    keys: Sequence[Key],
    ask: Ask,
    *,
    label: str,
    questions_per_shard: int = QUESTIONS_PER_SHARD,
) -> tuple[Shard, ...]:
    """Shards of predictions in the order of `keys`; those that a killed forerunner wrote are kept.

    `settings` (JSON types) are all that the answers depend on; every shard carries their hash, and one with another
    hash or other questions is never taken. `ask(first, last, progress)` answers keys[first:last]. `label` begins the
    progress lines. `AerieError`: the folder was begun with other settings.
    """
    _begin(folder, settings)
    mark = fingerprint(**settings)
    spans = [(first, min(first + questions_per_shard, len(keys))) for first in range(0, len(keys), questions_per_shard)]
    paths = [f"shard-{number:05d}.parquet" for number in range(len(spans))]
    shards = [_kept(folder, path, mark, keys[slice(*span)]) for path, span in zip(paths, spans, strict=True)]
    missing = sum(last - first for (first, last), shard in zip(spans, shards, strict=True) if shard is None)
    progress = Progress(label, missing, "questions")
    done: list[Shard] = []
    for path, (first, last), shard in zip(paths, spans, shards, strict=True):
        if shard is None:
            predictions = ask(first, last, progress)
            assert [(p.question_id, p.blind) for p in predictions] == list(keys[first:last])
            shard = write_shard(folder, path, predictions_parquet(predictions, {MARK: mark}), last - first)
        done.append(shard)
    if missing:
        progress.close()
    return tuple(done)


def shard_predictions(folder: str, shard: Shard, step: str) -> list[Prediction]:
    """The predictions of one shard; `AerieError` when it is missing or changed."""
    return table_predictions(parquet_table(shard_payload(folder, shard, step)))


def _begin(folder: str, settings: Mapping[str, Any]) -> None:
    found = begun_with(folder)
    if found is None:
        write_bytes(join(folder, SETTINGS_FILE), settings_bytes(settings))
        return
    if differing := differences(found, settings):
        raise AerieError(
            f"the answers in {folder} were begun with other settings: {'; '.join(differing)}; name another folder, or "
            "remove this one to ask all its questions anew"
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What differs between two settings, as `key was A, is B`, nested keys by dots."""
    told = []
    for key in sorted({*before, *now}):
        one, other = before.get(key), now.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            told += differences(one, other, f"{prefix}{key}.")
        elif one != other:
            told.append(f"{prefix}{key} was {_short(one)}, is {_short(other)}")
    return told


def _short(value: Any) -> str:
    text = "missing" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


def _kept(folder: str, path: str, mark: str, keys: Sequence[Key]) -> Shard | None:
    """A shard of an earlier try, if it holds just these answers."""
    uri = join(folder, path)
    if not exists(uri):
        return None
    payload = read_bytes(uri)
    try:
        table = parquet_table(payload)
    except (pa.ArrowException, OSError, ValueError):
        return None  # damaged since it was written: asked again
    if (table.schema.metadata or {}).get(MARK.encode()) != mark.encode():
        return None
    found = list(zip(table["question_id"].to_pylist(), table["blind"].to_pylist(), strict=True))
    if found != list(keys):
        return None
    return Shard(path=path, rows=len(found), bytes=len(payload), sha256=hashlib.sha256(payload).hexdigest())
