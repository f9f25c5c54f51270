"""Writes a sample's stages and cluster into its `meta`, column by column: images and texts pass untouched."""

import json
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from data.curation.selection_draw import STAGE_1, STAGE_1_5, STAGE_2
from data.schema import SAMPLE_SCHEMA

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False)  # as `Sample.to_row` writes `meta`
_STAGES = {
    (first, second): [STAGE_1] * first + [STAGE_1_5] + [STAGE_2] * second
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
        meta = json.loads(text)
        meta["stages"] = _STAGES[first, second]
        meta["cluster"] = None if label < 0 else label
        yield _CANONICAL.encode(meta)


def stage_lists(stage_1: np.ndarray, stage_2: np.ndarray) -> pa.ListArray:
    """list<string> [N]: the stages of each row; bool [N], bool [N]."""
    places = np.stack([stage_1, np.ones_like(stage_1), stage_2], axis=1)  # [N, 3]: which of the three a row is in
    offsets = np.concatenate([[0], np.cumsum(places.sum(1))]).astype(np.int32)
    names = pa.array([STAGE_1, STAGE_1_5, STAGE_2]).take(pa.array(np.nonzero(places)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), names)
