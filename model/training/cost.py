"""What a recipe will build and need, found without memory for a single weight (PyTorch's meta device)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.config import PARTS, ModelSettings
from model.inputs.tokens import SPECIAL_TOKENS
from model.recipe import Recipe, StageSettings

if TYPE_CHECKING:  # torch takes seconds to load, and `aerie --help` doesn't need it
    from torch import nn

    from model.vlm import VisionLanguageModel

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """One stage: its settings, how many parameters train, and the memory of the model's state.

    processes: nodes × processes on each.
    state_mib: weights, gradients and AdamW state in MiB a process, after ZeRO's sharding; activations come on top.
    """

    trains: str
    trainable: str
    processes: str
    capacity: int
    packs_per_step: int
    epochs: int
    learning_rate: float
    precision: str
    zero_stage: int
    state_mib: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Parameters by part, and of the pieces inside each; image tokens; and the three stages."""

    parameters: dict[str, int]
    pieces: dict[str, dict[str, int]]
    tokens_per_tile: int
    max_tiles: int
    stages: dict[str, StagePlan]

    @property
    def total(self) -> int:
        """All parameters; tied embeddings count once."""
        return sum(self.parameters.values())

    @property
    def max_image_tokens(self) -> int:
        """The most tokens that one image can become."""
        return self.tokens_per_tile * self.max_tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTables:
    """The input and output table together, one when they are tied: parameters in all, and rows of each."""

    parameters: int
    rows: int

    def of(self, tokens: int) -> int:
        """Parameters of so many tokens' rows."""
        return tokens * self.parameters // self.rows


def plan(recipe: Recipe) -> Plan:
    """Lay out a recipe's network and price its stages."""
    tiling = recipe.model.tiling
    network = meta_network(recipe.model)
    parameters, pieces = network.parameter_counts(), count_pieces(network)
    tables = TokenTables(
        parameters=pieces["language"]["embedding"] + pieces["language"]["head"], rows=network.vocab_size
    )
    return Plan(
        parameters=parameters,
        pieces=pieces,
        tokens_per_tile=recipe.model.tokens_per_tile,
        max_tiles=tiling.max_tiles + (1 if tiling.thumbnail and tiling.max_tiles > 1 else 0),
        stages={
            name: _stage_plan(stage, parameters, tables, recipe.processes) for name, stage in recipe.stages.items()
        },
    )


def state_bytes(trainable: int, frozen: int, precision: str, zero_stage: int, processes: int) -> float:
    """Bytes a process holds for weights, gradients and AdamW (two moments, and an fp32 master copy under bf16).

    ZeRO shards over the processes: the optimizer from stage 1, the gradients from 2, the weights from 3
    (Rajbhandari et al., 2020, section 3).
    """
    half = precision == "bf16"
    weight, gradient, optimizer = (2, 2, 12) if half else (4, 4, 8)
    shard = [processes if zero_stage >= level else 1 for level in (1, 2, 3)]
    return trainable * optimizer / shard[0] + trainable * gradient / shard[1] + (trainable + frozen) * weight / shard[2]


def _stage_plan(stage: StageSettings, parameters: dict[str, int], tables: TokenTables, processes: int) -> StagePlan:
    parts: list[str] = [part for part in PARTS if part in stage.trainable]
    trainable = held = sum(parameters[part] for part in parts)
    if stage.only_new_tokens:  # few rows learn, but the optimizer holds whole tables
        parts.append("new tokens")
        trainable, held = trainable + tables.of(len(SPECIAL_TOKENS)), held + tables.parameters
    frozen = sum(parameters.values()) - held
    state = state_bytes(held, frozen, stage.precision, stage.zero_stage, stage.nodes * processes)
    return StagePlan(
        trains=", ".join(parts),
        trainable=f"{trainable:,}",
        processes=f"{stage.nodes} × {processes}",
        capacity=stage.capacity,
        packs_per_step=stage.packs_per_step,
        epochs=stage.epochs,
        learning_rate=stage.learning_rate,
        precision=stage.precision,
        zero_stage=stage.zero_stage,
        state_mib=f"{state / MIB:,.0f}",
    )


def meta_network(settings: ModelSettings) -> "VisionLanguageModel":
    """The network that training would build, on the meta device: shapes without memory.

    The tokenizer is taken at its wanted size; the published tables have rows to spare for Eagle's tokens.
    """
    import torch

    from model.vlm import VisionLanguageModel

    with torch.device("meta"):
        return VisionLanguageModel(settings, settings.language.rows(settings.tokenizer.vocab_size), image_context_id=0)


def count_pieces(network: "VisionLanguageModel") -> dict[str, dict[str, int]]:
    """Parameters of the pieces inside vision and language; they add up to the part.

    `decoder` is the layers with the final norm. A head tied to the embedding has no parameters of its own.
    """
    language, decoder = network.language, network.language.model
    embedding = _parameters(decoder.embed_tokens)
    tied = language.lm_head.weight is decoder.embed_tokens.weight
    return {
        "vision": {name: _parameters(tower) for name, tower in network.vision.named_children()},
        "language": {
            "embedding": embedding,
            "decoder": _parameters(decoder) - embedding,
            "head": 0 if tied else _parameters(language.lm_head),
        },
    }


def _parameters(module: "nn.Module") -> int:
    return sum(parameter.numel() for parameter in module.parameters())
