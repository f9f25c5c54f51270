"""What the inputs hand to the network: encoded samples, merged into one pack."""

from dataclasses import dataclass

import numpy as np

IGNORE_INDEX = -100


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSample:
    """One conversation as tokens and tiles; nothing is normalised yet.

    `labels[t]` is `input_ids[t]` where the token belongs to an answer, else IGNORE_INDEX (the loss shifts by one).
    """

    sample_id: str
    source: str
    category: str
    input_ids: np.ndarray  # int64 [T]
    labels: np.ndarray  # int64 [T]
    tiles: np.ndarray  # uint8 [P, H, W, 3]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBatch:
    """One pack: samples back to back, never attending to each other. No padding inside."""

    input_ids: np.ndarray  # int64 [T]
    labels: np.ndarray  # int64 [T]
    positions: np.ndarray  # int64 [T], restart at 0 for each sample
    cu_seqlens: np.ndarray  # int32 [S + 1], sample i spans cu_seqlens[i]:cu_seqlens[i + 1]
    tiles: np.ndarray  # uint8 [P, H, W, 3]; P may be 0
    tiles_per_sample: np.ndarray  # int32 [S]
    sample_ids: tuple[str, ...]
    categories: tuple[str, ...]
    sources: tuple[str, ...]
