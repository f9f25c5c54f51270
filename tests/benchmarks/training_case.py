"""One training configuration on the GPU: a network at true geometry, synthetic packs, and timed optimizer steps."""
# ruff: noqa: E402 (the path is set first)

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from training_mixes import EIGHT, Mix
from transformers import AttentionInterface

from model import vlm
from model.attention import PACKED_ATTENTION
from model.config import ModelSettings
from model.inputs.batch import IGNORE_INDEX, EncodedSample, PackedBatch
from model.inputs.merge import merge
from model.loss import token_weights
from model.presets import preset
from model.recipe import StageSettings
from model.training.engine import TrainingEngine, join_processes
from model.training.freezing import freeze
from model.vlm import PackTensors, VisionLanguageModel

IMAGE_ID = 151_665
MASKED = "benchmark_masked"
MASK: dict[str, Any] = {}
ALL = ("connector", "vision", "language")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What to train and how.

    `stage` are settings of `StageSettings` over the benchmark's, `packs` those of a rank and step. `vs` names the case
    whose samples a second this one's are compared with. `way`: packs through our engine, the same with a dense mask in
    the decoder's attention, or the plain way (`training_plain`).
    """

    name: str
    preset: str
    mix: Mix = EIGHT
    trainable: tuple[str, ...] = ALL
    stage: dict[str, Any] = field(default_factory=dict)
    packs: int = 1
    way: Literal["packed", "masked", "plain"] = "packed"
    vs: str = ""
    warmup: int = 2
    steps: int = 5

    def settings(self, world: int) -> StageSettings:
        """The stage that trains it on `world` ranks."""
        fixed = {"learning_rate": 1e-5, "trainable": self.trainable, "packs_per_step": self.packs * world}
        return StageSettings(**{**fixed, "precision": "bf16", "zero_stage": 1, **self.stage})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds of a step (median) and of the first one, and GiB at the peak."""

    seconds: float
    first: float
    peak_gib: float
    losses: tuple[float, ...]


def start() -> torch.device:
    """Join torchrun's processes, or be the only one."""
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("MASTER_PORT", "29533")
    return join_processes()


def network(settings: ModelSettings, device: torch.device) -> VisionLanguageModel:
    """Fresh weights made on the device, in the precision that a GPU computes in."""
    torch.set_default_dtype(torch.bfloat16 if device.type == "cuda" else torch.float32)
    with torch.device(device):
        model = VisionLanguageModel(settings, settings.language.rows(151_676), IMAGE_ID)
    torch.set_default_dtype(torch.float32)
    return model


def made_pack(settings: ModelSettings, mix: Mix, seed: int) -> PackedBatch:
    """Random pixels and words in the lengths of `mix`."""
    rng, size = np.random.default_rng(seed), settings.tiling.tile_size
    samples = []
    for number, (tiles, text, answers) in enumerate(mix):
        words = rng.integers(0, 150_000, text)
        ids = np.concatenate([words[:20], np.full(tiles * settings.tokens_per_tile, IMAGE_ID), words[20:]])
        labels = np.where(np.arange(len(ids)) >= len(ids) - answers, ids, IGNORE_INDEX)
        pixels = rng.integers(0, 256, (tiles, size, size, 3), dtype=np.uint8)
        ids, name = ids.astype(np.int64), f"s{number}"
        samples.append(
            EncodedSample(
                sample_id=name, source="made", category="general_vqa", input_ids=ids, labels=labels, tiles=pixels
            )
        )
    return merge(samples)


def timed_steps(step: Callable[[], torch.Tensor], case: Case, together: Callable[[], object]) -> Timing:
    """Seconds of a case's steps, which all ranks begin `together`."""
    seconds, losses = [], []
    torch.cuda.reset_peak_memory_stats()
    for _ in range(case.warmup + case.steps):
        torch.cuda.synchronize()
        together()
        begin = time.perf_counter()
        losses.append(step())
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begin)
    return Timing(
        seconds=statistics.median(seconds[case.warmup :]),
        first=seconds[0],
        peak_gib=torch.cuda.max_memory_allocated() / 2**30,
        losses=tuple(float(loss) for loss in losses),
    )


@torch.compiler.disable
def masked_attention(
    module: nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **borders: Any
) -> tuple[torch.Tensor, None]:
    """The decoder's attention over a whole pack with a dense mask [T, T], made once a pack."""
    sequence = borders["sequence"]
    if MASK.get("of") is not sequence:
        same = sequence[:, None] == sequence[None]
        MASK.update(of=sequence, mask=same & torch.ones_like(same).tril_())
    output = F.scaled_dot_product_attention(query, key, value, attn_mask=MASK["mask"], enable_gqa=True)
    return output.transpose(1, 2), None


AttentionInterface.register(MASKED, masked_attention)


class Bench:
    """A case ready to step."""

    def __init__(self, case: Case, device: torch.device, settings: ModelSettings | None = None) -> None:
        self.case, self.device = case, device
        self.model_settings = settings or preset(case.preset)
        self.stage = case.settings(int(os.environ["WORLD_SIZE"]))
        vlm.PACKED_ATTENTION = MASKED if case.way == "masked" else PACKED_ATTENTION
        self.model = network(self.model_settings, device)
        freeze(self.model, case.trainable)
        self.engine = TrainingEngine(self.model, self.stage, device)
        self.world = self.engine.world
        batches = [made_pack(self.model_settings, case.mix, seed) for seed in range(case.packs)]
        weighted = [token_weights(batch.labels, batch.cu_seqlens, "sqrt") for batch in batches]
        self.total = sum(share for _, share in weighted) * self.engine.world
        self.packs = [
            (PackTensors.of(batch, device), torch.from_numpy(weights).to(device))
            for batch, (weights, _) in zip(batches, weighted, strict=True)
        ]

    def step(self) -> torch.Tensor:
        """One optimizer step; its loss, still on the device."""
        losses = [
            self.engine.gradients(pack, weights, self.total, last=number == len(self.packs) - 1)
            for number, (pack, weights) in enumerate(self.packs)
        ]
        self.engine.step(1e-5)
        return sum(losses[1:], losses[0])

    def run(self) -> Timing:
        """Warm up, then time."""
        timing = timed_steps(self.step, self.case, self.engine.barrier)
        losses = tuple(loss * self.engine.world / self.total for loss in timing.losses)
        return replace(timing, losses=losses)

    def close(self) -> None:
        """Give the memory back to the next case."""
        self.engine._engine.destroy()
        del self.engine, self.model, self.packs
        gc.collect()
        torch.cuda.empty_cache()
        torch._dynamo.reset()
