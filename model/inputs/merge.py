"""Encoded samples to one pack: back to back, each with its own positions."""

from collections.abc import Sequence

import numpy as np

from data.errors import AerieError
from model.inputs.batch import EncodedSample, PackedBatch


def merge(samples: Sequence[EncodedSample]) -> PackedBatch:
    """One pack of the samples in the given order; nothing is padded or cut."""
    if not samples:
        raise AerieError("a pack needs at least one sample")
    lengths = [len(sample.input_ids) for sample in samples]
    return PackedBatch(
        input_ids=np.concatenate([sample.input_ids for sample in samples]),
        labels=np.concatenate([sample.labels for sample in samples]),
        positions=np.concatenate([np.arange(length, dtype=np.int64) for length in lengths]),
        cu_seqlens=np.cumsum([0, *lengths], dtype=np.int32),
        tiles=np.concatenate([sample.tiles for sample in samples]),
        tiles_per_sample=np.array([len(sample.tiles) for sample in samples], dtype=np.int32),
        sample_ids=tuple(sample.sample_id for sample in samples),
        categories=tuple(sample.category for sample in samples),
        sources=tuple(sample.source for sample in samples),
    )
