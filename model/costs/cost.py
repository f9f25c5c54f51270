"""What a recipe will build and need, found without memory for a single weight (PyTorch's meta device)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.errors import AerieError
from model.config import ModelSettings
from model.costs.gpus import Gpu
from model.costs.sample_mix import SampleMix
from model.costs.stage_cost import Network, Placement, StagePlan, stage_plan
from model.recipe import Recipe, StageSettings

if TYPE_CHECKING:  # torch takes seconds to load, and `aerie --help` doesn't need it
    from torch import nn

    from model.vlm import VisionLanguageModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Parameters by part, and of the pieces inside each; image tokens; the GPU, the average sample, the stages."""

    parameters: dict[str, int]
    pieces: dict[str, dict[str, int]]
    tokens_per_tile: int
    max_tiles: int
    gpu: Gpu
    mix: SampleMix
    stages: dict[str, StagePlan]

    @property
    def total(self) -> int:
        """All parameters; tied embeddings count once."""
        return sum(self.parameters.values())

    @property
    def max_image_tokens(self) -> int:
        """The most tokens that one image can become."""
        return self.tokens_per_tile * self.max_tiles


def plan(recipe: Recipe, gpu: Gpu, mix: SampleMix, samples: Mapping[str, int | None], gpus: int | None = None) -> Plan:
    """Lay out a recipe's network and price its stages.

    `samples` are the sample uses of each stage in one epoch, None where unknown. `gpus` replaces the recipe's nodes and
    processes in every stage. `AerieError` where GPUs don't divide a stage's packs or fill its pods.
    """
    tiling = recipe.model.tiling
    built = meta_network(recipe.model)
    parameters = built.parameter_counts()
    network = Network(settings=recipe.model, parameters=parameters, rows=built.vocab_size)
    return Plan(
        parameters=parameters,
        pieces=count_pieces(built),
        tokens_per_tile=recipe.model.tokens_per_tile,
        max_tiles=tiling.max_tiles + (1 if tiling.thumbnail and tiling.max_tiles > 1 else 0),
        gpu=gpu,
        mix=mix,
        stages={
            name: stage_plan(name, network, stage, placement(recipe, stage, gpu, gpus), mix, samples.get(name))
            for name, stage in recipe.stages.items()
        },
    )


def placement(recipe: Recipe, stage: StageSettings, gpu: Gpu, gpus: int | None) -> Placement:
    """A stage's pods: the recipe's, or as many as `gpus` fill; fewer GPUs than a pod has make one small pod."""
    if gpus is None:
        return Placement(gpu=gpu, gpus=stage.nodes * recipe.processes, per_pod=recipe.processes)
    if gpus < 1:
        raise AerieError(f"a stage needs at least one GPU, got {gpus}")
    per_pod = min(gpus, recipe.processes) if recipe.processes > 1 else gpus
    if gpus % per_pod:
        raise AerieError(f"{gpus} GPUs don't fill pods of {per_pod}, the recipe's `processes`; take a multiple of it")
    return Placement(gpu=gpu, gpus=gpus, per_pod=per_pod)


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
