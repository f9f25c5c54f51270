"""Packs by number: formatted samples are read when needed, decoded once, and kept in bounded memory."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa

from data.errors import AerieError
from data.files import exists, join
from data.schema import Sample, table_to_samples
from data.storage import Manifest, read_manifest, read_tables
from model.config import ModelSettings
from model.inputs.batch import EncodedSample, PackedBatch
from model.inputs.encode import encode_sample, image_tiles
from model.inputs.epoch_packs import verify_plan
from model.inputs.merge import check_image_tokens, merge
from model.inputs.tokens import ChatTokenizer
from model.recipe import Recipe

SAMPLE_CACHE_BYTES = 1 << 29
SHARD_CACHE_BYTES = 1 << 29
Value = TypeVar("Value")


class BoundedCache(Generic[Value]):
    """Least recently used values go first when the sum of their sizes exceeds `max_bytes`; the newest one stays."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self._entries: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], tuple[Value, int]]) -> Value:
        """The value of a key; `make` gives (value, bytes) when it isn't here."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key][0]
        value, size = make()
        self._entries[key] = (value, size)
        self.bytes += size
        while self.bytes > self.max_bytes and len(self._entries) > 1:
            self.bytes -= self._entries.popitem(last=False)[1][1]
        return value

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(frozen=True, slots=True)
class DecodedSample:
    """A sample without its images' bytes, and each image's tiles, uint8 [P_i, S, S, 3]."""

    sample: Sample
    tiles: tuple[np.ndarray, ...]

    @property
    def nbytes(self) -> int:
        """Memory held, roughly: pixels plus characters."""
        text = sum(len(turn.content) + 200 for turn in self.sample.conversations)
        return sum(tiles.nbytes for tiles in self.tiles) + text


class PackLoader:
    """`loader.pack(i)` is pack i of the stage, i from 0 over all epochs; any order, any process, the same pack.

    Above `max_tokens` a sample's last answer is cut (stages that truncate); None: no sample is longer than planned.
    """

    def __init__(
        self,
        table: pa.Table,
        settings: ModelSettings,
        tokenizer: ChatTokenizer,
        formatting_uri: str,
        formatting: Manifest,
        *,
        max_tokens: int | None = None,
        sample_cache_bytes: int = SAMPLE_CACHE_BYTES,
        shard_cache_bytes: int = SHARD_CACHE_BYTES,
    ) -> None:
        self.table, self.tokenizer, self._settings = table.combine_chunks(), tokenizer, settings
        self._formatting_uri, self._formatting, self._max_tokens = formatting_uri, formatting, max_tokens
        packs = table["pack"].to_numpy()
        self._starts = np.searchsorted(packs, np.arange(int(packs.max()) + 2)) if len(packs) else np.zeros(1, int)
        self._samples: BoundedCache[DecodedSample] = BoundedCache(sample_cache_bytes)
        self._shards: BoundedCache[pa.Table] = BoundedCache(shard_cache_bytes)

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
        for shard in formatting.shards:  # a missing shard is found now, not after hours of training
            if not exists(join(formatting_uri, shard.path)):
                raise AerieError(f"shard {join(formatting_uri, shard.path)} is missing; run step 'formatting' again")
        table = pa.concat_tables(read_tables(packing_uri, packing))
        verify_plan(table, packing_uri, packing)
        settings, tokenizer = recipe.stages[stage], ChatTokenizer.load(tokenizer_uri)
        max_tokens = settings.capacity if settings.too_long == "truncate" else None
        return cls(table, recipe.model, tokenizer, formatting_uri, formatting, max_tokens=max_tokens)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def tokens(self, index: int) -> int:
        """Tokens of a pack, without building it."""
        start, end = self._span(index)
        return int(self.table["tokens"].slice(start, end - start).to_numpy().sum())

    def pack(self, index: int) -> PackedBatch:
        """Pack number `index`; `AerieError` names a sample that changed after packing or whose tiles don't fit it."""
        start, end = self._span(index)
        batch = merge([self._encoded(use) for use in self.table.slice(start, end - start).to_pylist()])
        check_image_tokens(batch, self.tokenizer.image_context_id, self._settings.tokens_per_tile)
        return batch

    def _span(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"pack {index} of {len(self)}")
        return int(self._starts[index]), int(self._starts[index + 1])

    def _encoded(self, use: dict[str, Any]) -> EncodedSample:
        decoded = self._samples.get((use["shard"], use["row"]), lambda: self._decoded(use))
        encoded = encode_sample(
            decoded.sample,
            self.tokenizer,
            self._settings,
            use["turns"],
            tiles=decoded.tiles,
            max_tokens=self._max_tokens,
        )
        if len(encoded.input_ids) != use["tokens"] or len(encoded.tiles) != use["tiles"]:
            raise AerieError(
                f"sample {use['sample_id']} has {len(encoded.input_ids)} tokens and {len(encoded.tiles)} tiles, it was "
                f"packed with {use['tokens']} and {use['tiles']}; the recipe's model part changed: run packing again"
            )
        return encoded

    def _decoded(self, use: dict[str, Any]) -> tuple[DecodedSample, int]:
        table = self._shards.get(use["shard"], lambda: self._shard(use["shard"]))
        sample = table_to_samples(table.slice(use["row"], 1))[0]
        if sample.sample_id != use["sample_id"]:
            raise AerieError(f"shard {use['shard']} row {use['row']} of {self._formatting_uri} is another sample")
        try:
            tiles = tuple(image_tiles(image, self._settings.tiling) for image in sample.images)
        except AerieError as error:
            raise AerieError(f"sample {sample.sample_id} of {sample.source!r}: {error}") from error
        bare = replace(sample, images=tuple(replace(image, bytes=None) for image in sample.images), meta={})
        decoded = DecodedSample(bare, tiles)
        return decoded, decoded.nbytes

    def _shard(self, number: int) -> tuple[pa.Table, int]:
        """One shard of the formatted samples, checked against its hash."""
        only = replace(self._formatting, shards=(self._formatting.shards[number],))
        table = next(read_tables(self._formatting_uri, only))
        return table, table.nbytes
