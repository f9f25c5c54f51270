"""Seeded ranks of many sample ids at once: the order of every draw."""

import hashlib
from collections.abc import Iterable

import numpy as np


def seeded_ranks(seed: int, stage: str, sample_ids: Iterable[bytes]) -> np.ndarray:
    """uint64 [N]: `seeded_rank(seed, stage, sample_id)` of each id (UTF-8).

    A rank depends on its own id only: rows may come in any order, and a sample's luck doesn't change because others
    join.
    """
    start = hashlib.sha256(f"{seed}\0{stage}\0".encode())

    def digest(sample_id: bytes) -> bytes:
        state = start.copy()  # the common prefix is hashed once
        state.update(sample_id)
        return state.digest()[:8]

    return np.frombuffer(b"".join(map(digest, sample_ids)), ">u8").astype(np.uint64)


def first_by_rank(rows: np.ndarray, ranks: np.ndarray, count: int) -> np.ndarray:
    """The `count` rows of lowest rank; `rows` are indices into `ranks`, a tie goes to the earlier one."""
    return rows[np.argsort(ranks[rows], kind="stable")[: max(count, 0)]]
