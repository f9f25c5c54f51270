"""What one stage takes on given GPUs: FLOPs, memory, time, checkpoints."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from data.errors import AerieError
from model.config import PARTS, ModelSettings
from model.costs.fitting import Remedy, remedies, tiles_that_fit
from model.costs.flops import Flops, pack_flops
from model.costs.gpus import Gpu
from model.costs.measured import Efficiency, efficiency
from model.costs.memory import Memory, stage_memory
from model.costs.sample_mix import SampleMix, fullest_pack
from model.inputs.tokens import SPECIAL_TOKENS
from model.recipe import StageSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What a plan knows of a network: its settings, parameters by part, and rows of its token tables."""

    settings: ModelSettings
    parameters: Mapping[str, int]
    rows: int

    @property
    def table_width(self) -> int:
        """Numbers that a token has in the input and the output table together."""
        return self.settings.language.hidden_size * (1 if self.settings.language.tie_embeddings else 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a stage runs: so many GPUs of a kind, `per_pod` in each pod of its TrainJob."""

    gpu: Gpu
    gpus: int
    per_pod: int

    @property
    def pods(self) -> int:
        """Nodes of the TrainJob, a pod each."""
        return self.gpus // self.per_pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Samples a second of one GPU, by a measured efficiency; hours where the number of samples is known."""

    efficiency: Efficiency
    samples_per_second: float
    hours: float | None
    gpu_hours: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """One stage. Bytes and FLOPs unless a name says otherwise; FLOPs are a sample's, forward and backward.

    samples: sample uses of one epoch; None when nobody knows. speed: None in fp32, where none was measured.
    memory is that of an average full pack, fullest_peak of a pack with as many tiles as it can hold. `remedies` would
    make the average pack fit, `tiles_that_fit` is the `max_tiles_per_pack` under which every pack does (None: all do).
    """

    trains: str
    trainable: int
    placement: Placement
    settings: StageSettings
    packs_per_gpu: int
    samples_per_pack: float
    samples: int | None
    flops: Flops
    memory: Memory
    fullest_peak: float
    remedies: tuple[Remedy, ...]
    tiles_that_fit: int | None
    speed: Speed | None
    checkpoint: float
    result: float

    @property
    def fits(self) -> bool:
        """Whether the average pack fits on the card."""
        return self.memory.peak <= self.placement.gpu.usable_bytes

    @property
    def steps(self) -> int | None:
        """Optimizer steps over all epochs."""
        if self.samples is None:
            return None
        packs = math.ceil(self.samples / self.samples_per_pack) * self.settings.epochs
        return math.ceil(packs / self.settings.packs_per_step)

    @property
    def checkpoints(self) -> float:
        """Bytes of the checkpoints that are kept, and of the one that is being written."""
        return self.checkpoint * (self.settings.keep_checkpoints + 1)


def stage_plan(
    name: str, network: Network, stage: StageSettings, placement: Placement, mix: SampleMix, samples: int | None
) -> StagePlan:
    """Lay out one stage; `AerieError` where the GPUs don't divide its packs or no sample fits a pack."""
    if stage.packs_per_step % placement.gpus:
        raise AerieError(
            f"stages.{name}.packs_per_step ({stage.packs_per_step}) is not a multiple of {placement.gpus} GPUs; every "
            "GPU must get as many packs a step"
        )
    settings = network.settings

    def peak(changed: StageSettings, tiles: int | None = None) -> Memory:
        pack = mix.pack(settings, changed) if tiles is None else fullest_pack(settings, changed, mix)
        return stage_memory(
            settings, changed, network.parameters, pack, vocab_rows=network.rows, processes=placement.gpus
        )

    memory, room = peak(stage), placement.gpu.usable_bytes
    fullest = fullest_pack(settings, stage, mix).tiles
    flops = sample_flops(network, stage, mix)
    every, learning = sum(network.parameters.values()), trained_parameters(network, stage)
    element = 2 if stage.precision == "bf16" else 4
    return StagePlan(
        trains=", ".join(
            [*(part for part in PARTS if part in stage.trainable), *["new tokens"] * stage.only_new_tokens]
        ),
        trainable=learning - _idle_rows(network, stage),
        placement=placement,
        settings=stage,
        packs_per_gpu=stage.packs_per_step // placement.gpus,
        samples_per_pack=mix.samples_per_pack(settings, stage),
        samples=samples,
        flops=flops,
        memory=memory,
        fullest_peak=peak(stage, fullest).peak,
        remedies=() if memory.peak <= room else remedies(stage, lambda changed: peak(changed).peak, room),
        tiles_that_fit=tiles_that_fit(stage, fullest, lambda changed, tiles: peak(changed, tiles).peak, room),
        speed=_speed(network, stage, placement, flops, samples),
        checkpoint=every * element + learning * 12,
        result=every * element,
    )


def sample_flops(network: Network, stage: StageSettings, mix: SampleMix) -> Flops:
    """Model FLOPs of an average sample."""
    return pack_flops(
        network.settings,
        network.rows,
        lengths=[mix.tokens(network.settings)],
        tiles=mix.tiles,
        label_tokens=mix.label_tokens,
        trainable=stage.trainable,
        train_new_tokens=stage.train_new_tokens,
    )


def trained_parameters(network: Network, stage: StageSettings) -> int:
    """Parameters that the optimizer holds; with `train_new_tokens` whole tables, of which few rows learn."""
    held = sum(count for part, count in network.parameters.items() if part in stage.trainable)
    return held + stage.only_new_tokens * network.rows * network.table_width


def _idle_rows(network: Network, stage: StageSettings) -> int:
    return stage.only_new_tokens * (network.rows - len(SPECIAL_TOKENS)) * network.table_width


def _speed(
    network: Network, stage: StageSettings, placement: Placement, flops: Flops, samples: int | None
) -> Speed | None:
    if stage.precision == "fp32":
        return None
    kernels = {f"flash_attention: {stage.flash_attention}", f"fused_mlp: {stage.fused_mlp}"}
    measured = efficiency(network.settings.preset, stage.trainable, kernels)
    rate = measured.mfu * placement.gpu.matmul_flops / flops.total
    gpu_hours = None if samples is None else samples * stage.epochs / rate / 3600
    hours = None if gpu_hours is None else gpu_hours / placement.gpus
    return Speed(efficiency=measured, samples_per_second=rate, hours=hours, gpu_hours=gpu_hours)
