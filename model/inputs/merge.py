"""Encoded samples to one pack: back to back, each with its own positions and exactly the image tokens of its tiles."""

from collections.abc import Sequence

import numpy as np

from data.errors import AerieError
from model.inputs.batch import IGNORE_INDEX, EncodedSample, PackedBatch
from model.inputs.encode import SampleProblemError


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


def placeholder_pack(tile_size: int) -> PackedBatch:
    """Two tokens without a label or a picture: what a rank runs when its pack has no sample left.

    It keeps the rank's collectives in step with the others' and adds nothing to the loss, its gradient or its
    denominator. Its one "sample" has no name.
    """
    nothing = EncodedSample(
        sample_id="",
        source="",
        category="",
        input_ids=np.zeros(2, dtype=np.int64),
        labels=np.full(2, IGNORE_INDEX, dtype=np.int64),
        tiles=np.zeros((0, tile_size, tile_size, 3), dtype=np.uint8),
    )
    return merge([nothing])


def check_image_tokens(sample: EncodedSample, image_context_id: int, tokens_per_tile: int) -> None:
    """Raise `SampleProblemError` with the counts unless a sample has the image tokens of its own tiles.

    Sample by sample: when one has a token too many and the next one too few, a pack's totals agree and every image
    after the first would be shown shifted. Done where the pack is built, on arrays of the CPU beside the running step,
    so that it costs the step nothing.
    """
    found, expected = int((sample.input_ids == image_context_id).sum()), len(sample.tiles) * tokens_per_tile
    if found != expected:
        raise SampleProblemError(
            "image_token_mismatch",
            f"sample {sample.sample_id} of {sample.source!r} has {found} image tokens in its text and {expected} image "
            f"features ({len(sample.tiles)} tiles, {tokens_per_tile} each); its row or the tiling changed after "
            "packing: run the packing step again",
        )
