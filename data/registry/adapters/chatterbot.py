"""ChatterBot corpus YAML: files of conversations, each a list of lines that two speakers take in turn."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from data.errors import AerieError
from data.registry.cards import SourceCard
from data.registry.rows import (
    Accepted,
    RawRow,
    Rejected,
    Split,
    one_in,
    options,
    package_folder,
    package_identity,
    question_sample,
    seeded_keep,
)
from data.settings.base import Strict
from data.settings.sources import SourceUse

identity = package_identity


class DialogueOptions(Strict):
    """Topics (file names) to leave out, and which share is held out."""

    leave_out: tuple[str, ...] = ()
    heldout_one_in: int = Field(default=8, ge=2)


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """One sample per conversation. The split hashes the text, so that a repeated dialogue stays on one side."""
    settings = options(DialogueOptions, card)
    folder = package_folder(card, "chatterbot_corpus") / "data" / "english"
    rows: dict[Split, list[tuple[str, Any]]] = {"train": [], "heldout": []}
    for path in sorted(folder.glob("*.yml")):
        if path.stem in settings.leave_out:
            continue
        for index, lines in enumerate(_conversations(path)):
            heldout = one_in(settings.heldout_one_in, seed, card.name, repr(lines))
            rows["heldout" if heldout else "train"].append((f"{path.stem}/{index}", lines))
    caps: tuple[tuple[Split, int | None], ...] = (("train", use.max_samples), ("heldout", use.max_heldout))
    for split, cap in caps:
        by_key = dict(rows[split])
        for key in seeded_keep(list(by_key), cap, seed, card.name):
            yield _row(card, split, key, by_key[key])


def _conversations(path: Path) -> list[Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return list(document["conversations"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise AerieError(f"{path} is not a ChatterBot corpus file ({error}); reinstall chatterbot-corpus") from error


def _row(card: SourceCard, split: Split, key: str, lines: Any) -> RawRow:
    if not isinstance(lines, list) or len(lines) < 2 or not all(isinstance(line, str) for line in lines):
        detail = f"expected a list of at least two strings, found {str(lines)[:80]!r}"
        return Rejected(split=split, key=key, reason="invalid_conversation", detail=detail)
    if not all(line.strip() for line in lines):
        return Rejected(split=split, key=key, reason="empty_turn", detail="a line of the dialogue is empty")
    # An odd number of lines ends with a remark that nobody answers: there is nothing to learn from it.
    even = lines[: len(lines) // 2 * 2]
    pairs = [(even[i].strip(), even[i + 1].strip(), "dialogue") for i in range(0, len(even), 2)]
    meta = {"key": key, "topic": key.split("/")[0], "unanswered_lines": len(lines) - len(even)}
    return Accepted(split=split, sample=question_sample(card, None, pairs, meta))
