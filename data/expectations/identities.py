"""What a border knows of millions of sample ids without keeping them: 64-bit hashes, and sums of hashes by group.

Two sets of ids with equal sums are equal but for one chance in 2^64; ten bytes a row are kept for repeated ids.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

KEPT = np.uint64(1)  # the lowest bit of a remembered hash says whether the row was kept


def id_hashes(sample_ids: pa.ChunkedArray) -> np.ndarray:
    """uint64 [N]: a hash of each id, the same in every process; a missing id counts as an empty one."""
    import pandas as pd

    named = pc.fill_null(sample_ids, "").to_numpy(zero_copy_only=False)
    hashes: np.ndarray = pd.util.hash_array(named.astype(object), categorize=False)
    return hashes


def coded(groups: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The names in a column (a missing one is ""), and int64 [N]: the place of each row's name among them."""
    encoded = pc.fill_null(groups, "").combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), np.asarray(encoded.indices, dtype=np.int64)


@dataclass(slots=True)
class IdSums:
    """Rows and the sum of their hashes (modulo 2^64) by group: equal for equal sets of ids, in any order."""

    rows: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    sums: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, groups: pa.ChunkedArray, hashes: np.ndarray) -> None:
        """Rows of any groups; `hashes` uint64 [N]."""
        names, codes = coded(groups)
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=len(names))
        sums = np.add.reduceat(hashes[order], np.cumsum(counts) - counts) if len(names) else ()
        for name, rows, total in zip(names, counts, sums, strict=True):
            self.rows[name] += int(rows)
            self.sums[name] = (self.sums[name] + int(total)) % 2**64

    def merge(self, other: "IdSums") -> None:
        """Take in what another process counted."""
        for name, rows in other.rows.items():
            self.rows[name] += rows
            self.sums[name] = (self.sums[name] + other.sums[name]) % 2**64

    def differs(self, other: "IdSums", name: str) -> bool:
        """Whether a group's ids are other ones there."""
        return self.rows[name] != other.rows[name] or self.sums[name] != other.sums[name]


@dataclass(slots=True)
class Repeats:
    """Finds ids that come more than once, and ids that were both kept and dropped, by group."""

    names: dict[str, int] = field(default_factory=dict)
    hashes: list[np.ndarray] = field(default_factory=list)  # uint64, the lowest bit is KEPT
    owners: list[np.ndarray] = field(default_factory=list)  # int16, place of the group in `names`

    def add(self, groups: pa.ChunkedArray, hashes: np.ndarray, kept: np.ndarray) -> None:
        """Rows of any groups; `hashes` uint64 [N], `kept` bool [N]."""
        names, codes = coded(groups)
        places = np.asarray([self.names.setdefault(name, len(self.names)) for name in names], dtype=np.int16)
        self.hashes.append(hashes & ~KEPT | kept.astype(np.uint64))
        self.owners.append(places[codes])

    def merge(self, other: "Repeats") -> None:
        """Take in what another process remembered."""
        codes = [self.names.setdefault(name, len(self.names)) for name in other.names]
        self.hashes += other.hashes
        self.owners += [np.asarray(codes, dtype=np.int16)[owners] for owners in other.owners]

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """By group: rows that share their id with another row; such rows whose id was kept and dropped."""
        if not self.hashes:
            return {}, {}
        marked = np.concatenate(self.hashes)
        ordered = np.sort(marked)
        again = (ordered[1:] | KEPT) == (ordered[:-1] | KEPT)
        torn = again & (ordered[1:] != ordered[:-1])
        return self._rows_of(marked, ordered[1:][again]), self._rows_of(marked, ordered[1:][torn])

    def _rows_of(self, marked: np.ndarray, found: np.ndarray) -> dict[str, int]:
        if not len(found):
            return {}
        owners = np.concatenate(self.owners)[np.isin(marked | KEPT, found | KEPT)]
        counted = np.bincount(owners, minlength=len(self.names))
        return {name: int(counted[code]) for name, code in self.names.items()}
