"""Packs for comparing loss curves: a recipe's own, or made ones that a fresh network can learn. For bench_float8.py."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from model.config import ModelSettings
from model.inputs.batch import IGNORE_INDEX, EncodedSample
from model.inputs.loader import PackLoader
from model.inputs.merge import merge
from model.loss import Reduction, token_weights
from model.pack_tensors import PackTensors
from model.presets import preset
from model.recipe import load_recipe

Pack = tuple[PackTensors, torch.Tensor, float]  # tensors, weights [T], share of the denominator
HELD_OUT = 8  # packs


@dataclass(frozen=True, slots=True)
class Data:
    """A network's settings and its packs by number; the last `HELD_OUT` are never trained on."""

    settings: ModelSettings
    rows: int  # of the embedding
    image_id: int
    length: int  # packs
    reduction: Reduction
    packs_per_step: int
    learning_rate: float
    batch: Callable[[int], "object"]

    def pack(self, number: int, device: str) -> Pack:
        """Pack `number` on a device."""
        batch = self.batch(number)
        weights, denominator = token_weights(batch.labels, batch.cu_seqlens, self.reduction)
        return PackTensors.of(batch, device), torch.from_numpy(weights).to(device), denominator


def recipe_packs(recipe_uri: str, stage: str, packing: str, formatting: str, tokenizer: str) -> Data:
    """The packs that a stage of a finished run trained on."""
    recipe = load_recipe(recipe_uri)
    loader, settings = PackLoader.open(recipe, stage, packing, formatting, tokenizer), recipe.stages[stage]
    return Data(
        settings=recipe.model,
        rows=recipe.model.language.rows(loader.tokenizer.vocab_size),
        image_id=loader.tokenizer.image_context_id,
        length=len(loader),
        reduction=settings.loss_reduction,
        packs_per_step=settings.packs_per_step,
        learning_rate=settings.learning_rate,
        batch=loader.pack,
    )


def made_packs(name: str, steps: int) -> Data:
    """Packs of one layout for a preset, so that compiled layers see one shape.

    Half the samples show a tile of one of 16 noisy colours and ask which; a quarter follow a fixed successor table with
    one step in ten at random; a quarter repeat a random word (what a network must look back for).
    """
    large = name != "tiny"
    settings, maker = preset(name), Maker(preset(name), long=765 if large else 32)
    return Data(
        settings=settings,
        rows=settings.language.rows(Maker.IMAGE + 1),
        image_id=Maker.IMAGE,
        length=steps + HELD_OUT,
        reduction="sqrt",
        packs_per_step=1,
        learning_rate=5e-4 if large else 1e-3,
        batch=lambda number: merge(maker.samples(number, pairs=2)),
    )


class Maker:
    """Samples of three kinds, drawn by the pack's number."""

    COLOURS, SYMBOLS, WORD = 16, 64, 12
    COLOUR, QUESTION, END, IMAGE = 256, 300, 301, 302  # the first colour's token; symbols start at 0

    def __init__(self, settings: ModelSettings, long: int) -> None:
        self._side, self._patches, self._long = settings.tiling.tile_size, settings.tokens_per_tile, long
        fixed = np.random.default_rng(7)
        self._palette = fixed.integers(0, 256, (self.COLOURS, 3))
        self._next = fixed.permutation(self.SYMBOLS)

    def samples(self, number: int, pairs: int) -> list[EncodedSample]:
        """4 * `pairs` samples."""
        draw = np.random.default_rng((11, number))
        colours = [self._colour(draw) for _ in range(2 * pairs)]
        return colours + [self._chain(draw) for _ in range(pairs)] + [self._copy(draw) for _ in range(pairs)]

    def _colour(self, draw: np.random.Generator) -> EncodedSample:
        colour = int(draw.integers(self.COLOURS))
        noise = draw.integers(-20, 21, (1, self._side, self._side, 3))
        tiles = (self._palette[colour] + noise).clip(0, 255).astype(np.uint8)
        return self._sample([self.IMAGE] * self._patches + [self.QUESTION], [self.COLOUR + colour, self.END], tiles)

    def _chain(self, draw: np.random.Generator) -> EncodedSample:
        chain = [int(draw.integers(self.SYMBOLS))]
        while len(chain) < self._long:
            jump = draw.random() < 0.1
            chain.append(int(draw.integers(self.SYMBOLS) if jump else self._next[chain[-1]]))
        return self._sample(chain[:1], chain[1:])

    def _copy(self, draw: np.random.Generator) -> EncodedSample:
        word = draw.integers(0, self.SYMBOLS, self.WORD).tolist()
        return self._sample([*word, self.END], (word * self._long)[: self._long - self.WORD - 1])

    def _sample(self, asked: list[int], answer: list[int], tiles: np.ndarray | None = None) -> EncodedSample:
        return EncodedSample(
            sample_id="made",
            source="made",
            category="general_vqa" if tiles is not None else "text_only",
            input_ids=np.array(asked + answer, dtype=np.int64),
            labels=np.array([IGNORE_INDEX] * len(asked) + answer, dtype=np.int64),
            tiles=tiles if tiles is not None else np.empty((0, self._side, self._side, 3), np.uint8),
        )
