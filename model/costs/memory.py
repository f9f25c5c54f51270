"""Memory of a stage on one GPU at its fullest moment: what DeepSpeed's ZeRO allocates, and the activations.

By reading DeepSpeed 0.19 (runtime/zero/stage_1_and_2.py, stage3.py, bf16_optimizer.py) and what
model/training/flat_gradients.py changes in it. For T parameters that learn, F that don't, and w processes; bf16, AdamW:

    weights     2 (T + F), from ZeRO-3 on over w
    optimizer   12 T / w: a float32 copy and two moments; without ZeRO 12 T
    gradients   of one pack a step: 2 T / w (ZeRO-1 frees, like ZeRO-2, what other processes own once a bucket is full),
                flat in ZeRO-1 and 2, all of it from the first gradient on
                of several packs, added up in float32: 4 T in ZeRO-1, which then is DeepSpeed's BF16_Optimizer; else
                4 T / w
    buffers     two buckets of at most 500 million bf16 gradients, none in BF16_Optimizer and for a process alone;
                ZeRO-3 one bucket and up to a billion gathered weights
    the optimizer's step, when no activation is left: the gradients of one pack a step once more in float32

In fp32 (a laptop) every number takes 4 bytes and ZeRO still keeps a copy of the weights. Where nothing waits from an
earlier pack, gradients and buckets come with the first gradient, when most activations are still alive.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from model.config import ModelSettings
from model.costs.activation_memory import PackShape, fullest_moment, network_layers
from model.recipe import StageSettings
from model.training.engine import MAX_BUCKET

GATHERED = 1_000_000_000  # weights that ZeRO-3 has gathered at once at most: its stage3_max_live_parameters
SUB_GROUP = 1_000_000_000  # parameters that ZeRO-3 updates at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on one GPU at the fullest `moment`: while a pack computes, or in the optimizer's step."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    buffers: float
    moment: str

    @property
    def peak(self) -> float:
        """All of them: what torch.cuda.max_memory_allocated tells."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.buffers


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sharding:
    """Parameters that learn and that don't, and who holds what of them."""

    learning: float
    frozen: float
    zero_stage: int
    processes: int
    half: bool
    several_packs: bool

    @property
    def element(self) -> int:
        """Bytes of a weight."""
        return 2 if self.half else 4

    @property
    def float32_sums(self) -> bool:
        """Whether bf16 gradients add up in float32."""
        return self.half and self.several_packs and self.zero_stage > 0

    @property
    def bf16_optimizer(self) -> bool:
        """Whether DeepSpeed takes another optimizer for ZeRO-1: it keeps whole gradients in float32."""
        return self.float32_sums and self.zero_stage == 1

    def part(self, level: int) -> int:
        """Processes that share what ZeRO shards from stage `level` on."""
        return self.processes if self.zero_stage >= level else 1

    @property
    def weights(self) -> float:
        """Of all weights."""
        return (self.learning + self.frozen) * self.element / self.part(3)

    @property
    def optimizer(self) -> float:
        """Of the moments and the copy that they update; plain AdamW in fp32 updates the weights themselves."""
        return self.learning * (12 if self.half or self.zero_stage else 8) / self.part(1)

    def gradients(self, learned: float) -> float:
        """While a pack computes and the gradients of so many parameters are complete."""
        if self.float32_sums:
            return 4 * self.learning / self.part(2)
        if self.zero_stage == 0:
            return self.element * (self.learning if self.several_packs else learned)
        if self.zero_stage == 1 and self.several_packs:  # in fp32: reduced after the last pack
            return self.element * self.learning
        waits = self.zero_stage == 3 or self.several_packs or learned > 0  # flat: all of it with the first gradient
        return self.element * self.learning / self.part(1) * waits

    def buffers(self, learned: float) -> float:
        """As `gradients`."""
        alone = self.processes == 1 and self.zero_stage < 3 and not self.several_packs  # nothing to reduce
        if self.zero_stage == 0 or self.bf16_optimizer or alone:
            return 0.0
        bucket = min(self.learning, MAX_BUCKET) * self.element
        if self.zero_stage == 3:
            return bucket + min(self.learning + self.frozen, GATHERED) * self.element
        return 2 * bucket * (learned > 0)

    def step_gradients(self) -> float:
        """In the optimizer's step."""
        own = self.learning / self.part(1)
        if self.bf16_optimizer:  # reduced after the backward pass, a bucket at a time
            return 4 * self.learning + 4 * min(self.learning, MAX_BUCKET)
        if self.zero_stage in (1, 2) and not self.several_packs:
            return (self.element + 4) * own
        if self.float32_sums or not self.half:
            return 4 * own
        if self.zero_stage == 3:
            return 2 * own + 4 * min(own, SUB_GROUP)
        return (2 + 2 + 4) * own


def stage_memory(
    settings: ModelSettings,
    stage: StageSettings,
    parameters: Mapping[str, int],
    pack: PackShape,
    *,
    vocab_rows: int,
    processes: int,
) -> Memory:
    """The peak of a stage on one of `processes` GPUs, for packs of this shape.

    `parameters` by part as `VisionLanguageModel.parameter_counts` tells them. The stage says what trains, how ZeRO
    shards, which layers recompute, and whether they are compiled, which ZeRO-3 never lets them be.
    """
    learning = sum(count for part, count in parameters.items() if part in stage.trainable)
    if stage.only_new_tokens:  # few rows learn, but gradient and optimizer hold whole tables
        learning += vocab_rows * settings.language.hidden_size * (1 if settings.language.tie_embeddings else 2)
    half = stage.precision == "bf16"
    shards = _Sharding(
        learning=learning,
        frozen=sum(parameters.values()) - learning,
        zero_stage=stage.zero_stage,
        processes=processes,
        half=half,
        several_packs=stage.packs_per_step > processes,
    )
    layers = network_layers(
        settings,
        vocab_rows,
        pack,
        trainable=stage.trainable,
        train_new_tokens=stage.train_new_tokens,
        checkpointed=stage.activation_checkpointing.model_dump(),
        element=shards.element,
        compiled=stage.compile and stage.zero_stage < 3,
    )
    moment = fullest_moment(layers, lambda learned: shards.gradients(learned) + shards.buffers(learned))
    state = {"weights": shards.weights, "optimizer": shards.optimizer}
    computing = Memory(
        **state,
        gradients=shards.gradients(moment.learned),
        activations=moment.activations,
        buffers=shards.buffers(moment.learned),
        moment="a pack",
    )
    stepping = Memory(
        **state, gradients=shards.step_gradients(), activations=0.0, buffers=0.0, moment="the optimizer's step"
    )
    return max(computing, stepping, key=lambda memory: memory.peak)
