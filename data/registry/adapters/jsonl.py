"""LLaVA JSONL in a local folder: one object a line with `id`, `image` (path or list of paths) and `conversations`.

A turn is `{from: human|gpt, value}` or `{role: user|assistant, content}`; a line may carry `split: heldout`.
Image paths count from the JSONL file and must stay in its folder.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from data.errors import AerieError
from data.images import ImageProblemError, image_ref
from data.registry.cards import SourceCard
from data.registry.rows import Accepted, RawRow, Rejected, Split, one_in, options, seeded_keep
from data.schema import ImageRef, Turn, make_sample
from data.settings.base import Strict
from data.settings.sources import SourceUse

ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system"}


class JsonlOptions(Strict):
    """Held-out share by seeded hash of `split_key` for lines without `split`; None holds out marked lines only."""

    heldout_one_in: int | None = Field(default=None, ge=2)


class BadLineError(Exception):
    """A line that can't become a sample."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def identity(card: SourceCard) -> str:
    """Hash of the file and of every image that it names, so that a replaced image is noticed."""
    digest = hashlib.sha256()
    for _, line in _lines(card):
        digest.update(line + b"\n")
        try:
            for name in _image_names(_parse(line)):
                digest.update(hashlib.sha256(_inside(card, name).read_bytes()).digest())
        except (BadLineError, OSError):
            digest.update(b"unreadable")
    return digest.hexdigest()


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """A row for each non-empty line of the file, good or bad."""
    settings = options(JsonlOptions, card)
    lines: dict[Split, list[tuple[int, bytes]]] = {"train": [], "heldout": []}
    for number, line in _lines(card):
        lines[_split(card, settings, seed, number, line)].append((number, line))
    caps: tuple[tuple[Split, int | None], ...] = (("train", use.max_samples), ("heldout", use.max_heldout))
    for split, cap in caps:
        for number, line in seeded_keep(lines[split], cap, seed, card.name):
            try:
                yield _row(card, split, number, line)
            except BadLineError as problem:
                key = f"{_path(card).name}:{number}"
                yield Rejected(split=split, key=key, reason=problem.reason, detail=str(problem))


def _path(card: SourceCard) -> Path:
    return Path(card.uri.removeprefix("file://"))


def _lines(card: SourceCard) -> list[tuple[int, bytes]]:
    try:
        content = _path(card).read_bytes()
    except OSError as error:
        raise AerieError(
            f"source {card.name!r}: {_path(card)} can't be read ({error.strerror}); correct `uri`"
        ) from error
    return [(number, line) for number, line in enumerate(content.split(b"\n"), 1) if line.strip()]


def _parse(line: bytes) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except ValueError as error:
        raise BadLineError("invalid_json", str(error)) from error
    if not isinstance(document, dict):
        raise BadLineError("invalid_json", f"expected an object, found {type(document).__name__}")
    return document


def _split(card: SourceCard, settings: JsonlOptions, seed: int, number: int, line: bytes) -> Split:
    """The side of a line; a line that can't be parsed counts as training, where the ledger sees it."""
    try:
        document = _parse(line)
    except BadLineError:
        return "train"
    if "split" in document:
        return "heldout" if document["split"] in {"heldout", "test", "validation"} else "train"
    key = document.get(card.split_key, document.get("id", number))
    held = settings.heldout_one_in is not None and one_in(settings.heldout_one_in, seed, card.name, key)
    return "heldout" if held else "train"


def _image_names(document: dict[str, Any]) -> list[str]:
    names = document.get("image") or []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise BadLineError("invalid_row", "`image` must be a path or a list of paths")
    return names


def _inside(card: SourceCard, name: str) -> Path:
    root = _path(card).parent.resolve()
    try:
        target = (root / name).resolve()
    except (OSError, ValueError) as error:
        raise BadLineError("missing_file", f"{name!r} is no path: {error}") from error
    if not target.is_relative_to(root):
        raise BadLineError("unsafe_path", f"image {name!r} lies outside the folder of {_path(card).name}")
    return target


def _image(card: SourceCard, name: str) -> ImageRef:
    try:
        return image_ref(_inside(card, name).read_bytes(), name)
    except OSError as error:
        raise BadLineError("missing_file", f"image {name!r}: {error.strerror}") from error
    except ImageProblemError as problem:
        raise BadLineError(problem.reason, f"image {name!r}: {problem}") from problem


def _turns(document: dict[str, Any]) -> tuple[Turn, ...]:
    turns = document.get("conversations")
    if not isinstance(turns, list) or not turns:
        raise BadLineError("invalid_row", "`conversations` must be a list with at least one turn")
    parsed = []
    for turn in turns:
        turn = turn if isinstance(turn, dict) else {}
        role, content = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
        if not isinstance(role, str) or role not in ROLES or not isinstance(content, str):
            raise BadLineError(
                "invalid_row", f"a turn needs from/value or role/content with a known role, found {turn}"
            )
        parsed.append(Turn(role=ROLES[role], content=content))
    return tuple(parsed)


def _row(card: SourceCard, split: Split, number: int, line: bytes) -> RawRow:
    document = _parse(line)
    turns = _turns(document)
    images = tuple(_image(card, name) for name in _image_names(document))
    task = document.get("task", "open")
    pairs = sum(turn.role == "assistant" for turn in turns)
    meta = {"key": str(document.get("id", number)), "task": task, "tasks": [task] * pairs}
    sample = make_sample(source=card.name, category=card.category, images=images, conversations=turns, meta=meta)
    return Accepted(split=split, sample=sample)
