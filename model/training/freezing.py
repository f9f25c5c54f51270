"""Which parts of the network a stage trains, and which parameters decay."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from model.config import PARTS
from model.new_tokens import token_tables, train_only_rows
from model.vlm import VisionLanguageModel


def freeze(model: VisionLanguageModel, trainable: Collection[str], new_ids: Sequence[int] = ()) -> None:
    """Let the parts named in `trainable` learn and fix the others, but for the token rows `new_ids`.

    A frozen part needs no gradients, so that no graph is built for a frozen tower, and stays in eval mode. The rows of
    `new_ids` learn in the input and output tables of a language model that is frozen otherwise.
    """
    for name in PARTS:
        part: nn.Module = getattr(model, name)
        part.requires_grad_(name in trainable)
        part.train(name in trainable)
    if new_ids and "language" not in trainable:
        for table in token_tables(model.language):
            train_only_rows(table, new_ids)


def parameter_groups(
    model: nn.Module,
    weight_decay: float,
    undecayed: Iterable[nn.Parameter] = (),
    factors: Mapping[Any, float] | None = None,
) -> list[dict[str, Any]]:
    """The optimizer's groups: trainable parameters only, matrices and kernels with decay, all else without.

    Norm scales, biases and LayerScale have one dimension; shrinking them towards zero regularises nothing and hurts
    (the usual rule since BERT). `undecayed` names matrices that must not decay either: token tables of which only some
    rows learn. A tied output head is one parameter and appears once. `factors` are learning rates of parts over the
    stage's; parts without one share their groups. Empty groups are left out.
    """
    spared, factors = {id(parameter) for parameter in undecayed}, factors or {}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {
        (decay, factor): [] for factor in [1.0, *factors.values()] for decay in (weight_decay, 0.0)
    }
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = weight_decay if parameter.ndim >= 2 and id(parameter) not in spared else 0.0
            groups[decay, factors.get(name.split(".")[0], 1.0)].append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "rate_factor": factor}
        for (decay, factor), parameters in groups.items()
        if parameters
    ]
