"""Encoded samples to one pack: back to back, each with its own positions and exactly the image tokens of its tiles."""

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


def check_image_tokens(batch: PackedBatch, image_context_id: int, tokens_per_tile: int) -> None:
    """Raise `AerieError` with sample and counts unless every sample has the image tokens of its own tiles.

    Sample by sample: when one has a token too many and the next one too few, the totals agree and every image after
    the first would be shown shifted. Done where the pack is built, on arrays of the CPU beside the running step, so
    that it costs the step nothing.
    """
    sequence = np.repeat(np.arange(len(batch.sample_ids)), np.diff(batch.cu_seqlens))
    found = np.bincount(sequence[batch.input_ids == image_context_id], minlength=len(batch.sample_ids))
    expected = batch.tiles_per_sample * tokens_per_tile
    for number in np.flatnonzero(found != expected):
        raise AerieError(
            f"sample {batch.sample_ids[number]} of {batch.sources[number]!r} has {found[number]} image tokens in its "
            f"text and {expected[number]} image features ({batch.tiles_per_sample[number]} tiles, {tokens_per_tile} "
            "each); its row or the tiling changed after packing: run the packing step again"
        )
    if (told := int(batch.tiles_per_sample.sum())) != len(batch.tiles):
        raise AerieError(
            f"the pack of samples {', '.join(batch.sample_ids)} holds {len(batch.tiles)} tiles, not {told}"
        )
