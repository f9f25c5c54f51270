"""Builds packs from rows of the plan: samples are read when needed, decoded once, and kept in bounded memory."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data.bounded_cache import BoundedCache
from data.row_groups import DamagedRowsError, RowGroups
from data.schema import Sample, table_to_samples
from data.storage import Manifest
from model.config import ModelSettings
from model.inputs.batch import EncodedSample, PackedBatch
from model.inputs.encode import (
    BadImageError,
    SampleProblemError,
    decoded_tiles,
    encode_sample,
    question_answer_pairs,
)
from model.inputs.merge import check_image_tokens, merge
from model.inputs.quarantine import QuarantineEvent
from model.inputs.tokens import ChatTokenizer

SAMPLE_CACHE_BYTES = 1 << 29
ROW_CACHE_BYTES = 1 << 29
PLAN_CACHE_BYTES = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSources:
    """All that a process needs to build packs; it travels to worker processes.

    Above `max_tokens` a sample's last answer is cut (stages that truncate); None: no sample is longer than planned.
    """

    packing_uri: str
    packing: Manifest
    formatting_uri: str
    formatting: Manifest
    tokenizer: ChatTokenizer
    settings: ModelSettings
    max_tokens: int | None = None
    sample_cache_bytes: int = SAMPLE_CACHE_BYTES
    row_cache_bytes: int = ROW_CACHE_BYTES

    def shared_by(self, processes: int) -> "PackSources":
        """The same for one of several processes, which together hold no more memory than one alone."""
        return replace(
            self,
            sample_cache_bytes=self.sample_cache_bytes // processes,
            row_cache_bytes=self.row_cache_bytes // processes,
        )


@dataclass(frozen=True, slots=True)
class LoadedPack:
    """A pack (None when it has no sample left), the samples planned in it, and which of them are bad."""

    batch: PackedBatch | None
    samples: int
    quarantined: tuple[QuarantineEvent, ...]


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


class PackReader:
    """The packs of `sources`, in one thread of one process."""

    def __init__(self, sources: PackSources) -> None:
        self._sources = sources
        self.plan = RowGroups(sources.packing_uri, sources.packing, cache_bytes=PLAN_CACHE_BYTES)
        self.rows = RowGroups(sources.formatting_uri, sources.formatting, cache_bytes=sources.row_cache_bytes)
        self._samples: BoundedCache[DecodedSample] = BoundedCache(sources.sample_cache_bytes)

    def load(self, number: int, first: int, last: int) -> LoadedPack:
        """Pack `number`, rows first:last of the plan, without its bad samples; nothing stands in for these.

        `AerieError`: a shard is missing or changed, the store can't be reached; those are nobody's single sample.
        """
        good: list[EncodedSample] = []
        bad: list[QuarantineEvent] = []
        for use in self.plan.span(first, last).to_pylist():
            try:
                good.append(self._encoded(use))
            except SampleProblemError as problem:
                bad.append(QuarantineEvent(number, use["sample_id"], use["source"], problem.reason, str(problem)))
        return LoadedPack(merge(good) if good else None, last - first, tuple(bad))

    def _encoded(self, use: dict[str, Any]) -> EncodedSample:
        """A sample as planned, and nothing else."""
        settings = self._sources.settings
        decoded = self._samples.get((use["shard"], use["row"]), lambda: self._decoded(use))
        pairs = len(question_answer_pairs(decoded.sample))
        if max(use["turns"], default=-1) >= pairs:
            detail = f"it has {pairs} answers and was packed with turns {use['turns']}"
            raise SampleProblemError("sample_changed", detail)
        encoded = encode_sample(
            decoded.sample,
            self._sources.tokenizer,
            settings,
            use["turns"],
            tiles=decoded.tiles,
            max_tokens=self._sources.max_tokens,
        )
        if len(encoded.input_ids) != use["tokens"] or len(encoded.tiles) != use["tiles"]:
            raise SampleProblemError(
                "sample_changed",
                f"it has {len(encoded.input_ids)} tokens and {len(encoded.tiles)} tiles and was packed with "
                f"{use['tokens']} and {use['tiles']}; the samples or the model part of the recipe changed: run packing "
                "again",
            )
        check_image_tokens(encoded, self._sources.tokenizer.image_context_id, settings.tokens_per_tile)
        return encoded

    def _decoded(self, use: dict[str, Any]) -> tuple[DecodedSample, int]:
        sample = self._sample(use)
        try:
            tiles = tuple(decoded_tiles(image, self._sources.settings.tiling) for image in sample.images)
        except BadImageError as error:
            raise SampleProblemError(error.reason, str(error)) from None
        bare = replace(sample, images=tuple(replace(image, bytes=None) for image in sample.images), meta={})
        decoded = DecodedSample(bare, tiles)
        return decoded, decoded.nbytes

    def _sample(self, use: dict[str, Any]) -> Sample:
        try:
            sample = table_to_samples(self.rows.rows(use["shard"], use["row"], use["row"] + 1))[0]
        except (DamagedRowsError, ValueError, KeyError, TypeError) as error:  # pages may decode, to nonsense
            raise SampleProblemError("damaged_rows", f"its row can't be read: {error}") from None
        if sample.sample_id != use["sample_id"]:
            raise SampleProblemError(
                "sample_changed", f"row {use['row']} of shard {use['shard']} is sample {sample.sample_id}"
            )
        return sample
