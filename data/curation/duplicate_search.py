"""Duplicates among the gate's admitted rows: the keys that must be equal, and what the report tells of them."""

import hashlib
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from data.curation.duplicates import Duplicate, find_duplicates
from data.curation.row_views import RowView
from data.curation.vectors import Embeddings
from data.schema import plain_text

EXAMPLES = 5
Keys = tuple[list[bytes], list[bytes]]


def turn_keys(conversations: list[list[dict[str, str]]], pictures: list[str], max_text_tokens: int) -> Keys:
    """Per sample: a key of all that its vectors don't show, and a key of pixels and all turns (16 bytes each).

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


def _hash(value: Any) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()[:16]


def duplicates_among(embeddings: Embeddings, admitted: np.ndarray, keys: Keys, threshold: float) -> list[Duplicate]:
    """Duplicates among the admitted rows (ascending row numbers), as numbers of all rows."""
    unseen, whole = keys
    local = find_duplicates(
        RowView(embeddings.images, admitted),
        RowView(embeddings.texts, admitted),
        [unseen[row] for row in admitted],
        [whole[row] for row in admitted],
        threshold,
    )
    return [replace(item, row=int(admitted[item.row]), kept=int(admitted[item.kept])) for item in local]


def duplicate_report(embeddings: Embeddings, found: list[Duplicate], threshold: float) -> dict[str, Any]:
    """Counts, inside sources and across them, and a few examples for the gate's report."""
    sources = embeddings.sources
    pairs = Counter((sources[item.row], sources[item.kept]) for item in found)
    within = sum(count for (own, other), count in pairs.items() if own == other)
    return {
        "count": len(found),
        "exact": sum(item.exact for item in found),
        "within_sources": within,
        "across_sources": len(found) - within,
        "threshold": threshold,
        "by_source": dict(sorted(Counter(sources[item.row] for item in found).items())),
        "pairs": [
            {"source": own, "kept_source": other, "count": count} for (own, other), count in sorted(pairs.items())
        ],
        "examples": [
            {
                "sample_id": embeddings.sample_ids[item.row],
                "kept_id": embeddings.sample_ids[item.kept],
                "source": sources[item.row],
                "kept_source": sources[item.kept],
                "exact": item.exact,
                "image_similarity": item.image_similarity,
                "text_similarity": item.text_similarity,
            }
            for item in found[:EXAMPLES]
        ],
    }
