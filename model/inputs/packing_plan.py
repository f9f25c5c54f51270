"""A plan of packs as two arrays, for millions of samples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class PackPlan:
    """Pack p holds the samples `members[starts[p] : starts[p + 1]]`; none is empty.

    `members` is int64 [N], each sample number once; `starts` is int64 [P + 1], from 0 to N.
    """

    members: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, packs: np.ndarray, samples: np.ndarray) -> "PackPlan":
        """From the pack of each item, int [N], and the items' sample numbers; items keep their order in a pack."""
        sizes = np.bincount(packs)
        members = samples[np.argsort(packs, kind="stable")]
        return cls(members, np.concatenate([[0], np.cumsum(sizes[sizes > 0])]).astype(np.int64))

    @classmethod
    def joined(cls, plans: Sequence["PackPlan"]) -> "PackPlan":
        """Plans of N_1, N_2, ... samples one after the other; sample numbers go on counting."""
        before = np.cumsum([0, *(len(plan.members) for plan in plans)])
        members = [plan.members + first for plan, first in zip(plans, before, strict=False)]
        starts = [plan.starts[1:] + first for plan, first in zip(plans, before, strict=False)]
        return cls(np.concatenate(members), np.concatenate([np.zeros(1, np.int64), *starts]))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        """The sample numbers of each pack."""
        return iter(np.split(self.members, self.starts[1:-1])) if len(self) else iter(())

    @property
    def sizes(self) -> np.ndarray:
        """Samples in each pack, int64 [P]."""
        return np.diff(self.starts)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sum over each pack of a value that every sample has, [N] -> [P]."""
        return np.add.reduceat(values[self.members], self.starts[:-1]) if len(self) else values[:0]

    def reordered(self, order: np.ndarray) -> "PackPlan":
        """The same packs in another order, int [P]."""
        sizes = self.sizes[order]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        places = np.arange(len(self.members)) + np.repeat(self.starts[:-1][order] - starts[:-1], sizes)
        return PackPlan(self.members[places], starts)
