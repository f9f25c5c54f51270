"""Packs by number: where their rows stand in the plan, and the checks before the first one is read."""

from dataclasses import dataclass

import numpy as np

from data.errors import AerieError
from data.folders import files_below
from data.storage import Manifest, read_manifest, read_tables
from model.inputs.batch import PackedBatch
from model.inputs.pack_reader import LoadedPack, PackReader, PackSources
from model.inputs.stage_packs import packing_fingerprint
from model.inputs.tokens import ChatTokenizer
from model.recipe import Recipe


@dataclass(frozen=True, slots=True)
class PackPlace:
    """A pack's number and its rows first:last of the plan; all that a worker has to be told."""

    number: int
    first: int
    last: int


class PackLoader:
    """`loader.load(i)` is pack i of the stage, i from 0 over all epochs; any order, any process, the same pack."""

    def __init__(self, sources: PackSources, starts: np.ndarray, largest_bytes: int) -> None:
        """`starts` [packs + 1]: the first row of each pack; `largest_bytes`: the tiles of the largest one."""
        self.sources, self._starts, self.largest_bytes = sources, starts, largest_bytes
        self._reader = PackReader(sources)

    @classmethod
    def open(
        cls, recipe: Recipe, stage: str, packing_uri: str, formatting_uri: str, tokenizer_uri: str
    ) -> "PackLoader":
        """The packs of a finished packing step; `AerieError` when its inputs are not those it was planned for."""
        packing, formatting = read_manifest(packing_uri), read_manifest(formatting_uri)
        if packing.step != f"packing/{stage}":
            raise AerieError(f"{packing_uri} holds the packs of {packing.step!r}, not of {stage!r}")
        for name, manifest in (("formatting", formatting), ("tokenizer", read_manifest(tokenizer_uri))):
            if packing.lineage.get(name) != manifest.sha256():
                raise AerieError(f"{name} changed after {packing_uri} was planned; run step {packing.step!r} again")
        if packing.fingerprint != packing_fingerprint(recipe, stage, packing.lineage):
            raise AerieError(
                f"{packing_uri} was planned for another recipe (its stage, tiling, system prompt or seed); run step "
                f"{packing.step!r} again"
            )
        _check_shards(formatting_uri, formatting)
        settings = recipe.stages[stage]
        sources = PackSources(
            packing_uri=packing_uri,
            packing=packing,
            formatting_uri=formatting_uri,
            formatting=formatting,
            tokenizer=ChatTokenizer.load(tokenizer_uri),
            settings=recipe.model,
            max_tokens=settings.capacity if settings.too_long == "truncate" else None,
        )
        starts, tiles = _pack_starts(packing_uri, packing)
        return cls(sources, starts, tiles * 3 * recipe.model.tiling.tile_size**2)

    @property
    def tokenizer(self) -> ChatTokenizer:
        """The tokenizer that the packs were planned with."""
        return self.sources.tokenizer

    def __len__(self) -> int:
        return len(self._starts) - 1

    def place(self, index: int) -> PackPlace:
        """Where pack number `index` stands in the plan."""
        if not 0 <= index < len(self):
            raise IndexError(f"pack {index} of {len(self)}")
        return PackPlace(index, int(self._starts[index]), int(self._starts[index + 1]))

    def load(self, index: int) -> LoadedPack:
        """Pack number `index` without its bad samples, and what is wrong with those."""
        place = self.place(index)
        return self._reader.load(place.number, place.first, place.last)

    def pack(self, index: int) -> PackedBatch:
        """Pack number `index` whole; `AerieError` names a bad sample."""
        loaded = self.load(index)
        for event in loaded.quarantined:
            raise AerieError(f"pack {index}: sample {event.sample_id} of {event.source!r}: {event.detail}")
        assert loaded.batch is not None  # a pack holds at least one sample
        return loaded.batch


def _check_shards(folder: str, manifest: Manifest) -> None:
    """A missing shard is found now, not after hours of training. One listing: thousands of questions take minutes."""
    there = set(files_below(folder))
    for shard in manifest.shards:
        if shard.path not in there:
            raise AerieError(f"shard {folder}/{shard.path} is missing; run step {manifest.step!r} again")


def _pack_starts(packing_uri: str, packing: Manifest) -> tuple[np.ndarray, int]:
    """The first row of each pack and the number of rows [packs + 1], and the tiles of the largest pack.

    The shards are checked against their hashes, so they are the plan whose hash the step's report names. Two narrow
    columns are kept of them: at 21.6 million rows every process would hold gigabytes otherwise.
    """
    parts = list(read_tables(packing_uri, packing, ["pack", "tiles"]))
    packs = np.concatenate([part["pack"].to_numpy() for part in parts]) if parts else np.zeros(0, np.int32)
    if not len(packs):
        return np.zeros(1, np.int64), 0
    tiles = np.concatenate([part["tiles"].to_numpy() for part in parts]).astype(np.int64)
    starts = np.flatnonzero(np.diff(packs, prepend=-1))
    return np.append(starts, len(packs)), int(np.add.reduceat(tiles, starts).max())
