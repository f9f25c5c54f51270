"""Writes a sample's stages and cluster into its `meta`, column by column: images and texts pass untouched."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from data.curation.selection_draw import STAGE_1, STAGE_1_5, STAGE_2
from data.schema import SAMPLE_SCHEMA

_STAGES = {
    (first, second): (STAGE_1,) * first + (STAGE_1_5,) + (STAGE_2,) * second
    for first in (False, True)
    for second in (False, True)
}


def marked(table: pa.Table, stage_1: np.ndarray, stage_2: np.ndarray, cluster: np.ndarray) -> pa.Table:
    """The table of `SAMPLE_SCHEMA` with `stages` and `cluster` in `meta`; bool [N], bool [N], int32 [N] (-1: none)."""
    table = table.select(SAMPLE_SCHEMA.names)
    metas = _metas(table["meta"].to_pylist(), zip(stage_1.tolist(), stage_2.tolist(), cluster.tolist(), strict=True))
    return table.set_column(SAMPLE_SCHEMA.get_field_index("meta"), "meta", pa.array(metas, pa.string()))


def _metas(texts: list[str], marks: Iterable[tuple[bool, bool, int]]) -> Iterator[str]:
    for text, (first, second, label) in zip(texts, marks, strict=True):
        added = {"cluster": None if label < 0 else label, "stages": _STAGES[first, second]}
        yield with_keys(text, added)


def with_keys(text: str, added: dict[str, Any]) -> str:
    """A JSON object's text with more keys, which win over its own.

    An object without these words anywhere gets them before its closing brace, which spares parsing it; a row that
    bears one of them, as a key or in a text, is parsed and written anew.
    """
    if len(text) > 2 and text[-1] == "}" and not any(f'"{key}"' in text for key in added):
        return f"{text[:-1]}, {_text_of(tuple(added.items()))}"
    return json.dumps({**json.loads(text), **added}, sort_keys=True, ensure_ascii=False)


@cache  # four sets of stages times the clusters
def _text_of(items: tuple[tuple[str, Any], ...]) -> str:
    """The keys as the end of an object: without its opening brace."""
    return json.dumps(dict(items), sort_keys=True, ensure_ascii=False)[1:]


def stage_lists(stage_1: np.ndarray, stage_2: np.ndarray) -> pa.ListArray:
    """list<string> [N]: the stages of each row; bool [N], bool [N]."""
    places = np.stack([stage_1, np.ones_like(stage_1), stage_2], axis=1)  # [N, 3]: which of the three a row is in
    offsets = np.concatenate([[0], np.cumsum(places.sum(1))]).astype(np.int32)
    names = pa.array([STAGE_1, STAGE_1_5, STAGE_2]).take(pa.array(np.nonzero(places)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), names)
