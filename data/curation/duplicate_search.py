"""Duplicates among the gate's admitted rows: the keys that must be equal, and what the report tells of them."""

import hashlib
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from data.curation.duplicates import Duplicate, find_duplicates
from data.curation.vectors import Embeddings
from data.schema import plain_text

EXAMPLES = 5


def turn_keys(
    conversations: list[list[dict[str, str]]], pictures: list[str], max_text_tokens: int
) -> tuple[list[str], list[str]]:
    """Per sample: a key of all that its vectors don't show, and a key of pixels and all turns.

    The text vector shows at most `max_text_tokens` tokens of the first question, and a token is a character or more.
    The image vector is a mean: of several images it shows neither order nor number.
    """
    unseen, whole = [], []
    for turns, picture in zip(conversations, pictures, strict=True):
        first = next((index for index, turn in enumerate(turns) if turn["role"] == "user"), None)
        others = [turn for index, turn in enumerate(turns) if index != first]
        cut = "" if first is None else plain_text(turns[first]["content"])[max_text_tokens:]
        unseen.append(_hash([others, cut, picture if "+" in picture else ""]))
        whole.append(_hash([picture, turns]))
    return unseen, whole


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def duplicates_among(
    embeddings: Embeddings, admitted: np.ndarray, keys: tuple[list[str], list[str]], threshold: float
) -> list[Duplicate]:
    """Duplicates among the admitted rows (ascending row numbers), as numbers of all rows."""
    unseen, whole = keys
    local = find_duplicates(
        embeddings.images[admitted],
        embeddings.texts[admitted],
        [unseen[row] for row in admitted],
        [whole[row] for row in admitted],
        threshold,
    )
    return [replace(item, row=int(admitted[item.row]), kept=int(admitted[item.kept])) for item in local]


def duplicate_report(embeddings: Embeddings, found: list[Duplicate], threshold: float) -> dict[str, Any]:
    """Counts and a few examples for the gate's report."""
    return {
        "count": len(found),
        "exact": sum(item.exact for item in found),
        "threshold": threshold,
        "by_source": dict(sorted(Counter(embeddings.sources[item.row] for item in found).items())),
        "examples": [
            {
                "sample_id": embeddings.sample_ids[item.row],
                "kept_id": embeddings.sample_ids[item.kept],
                "source": embeddings.sources[item.row],
                "exact": item.exact,
                "image_similarity": item.image_similarity,
                "text_similarity": item.text_similarity,
            }
            for item in found[:EXAMPLES]
        ],
    }
