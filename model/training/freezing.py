"""Which parts of the network a stage trains, and which parameters decay."""

from collections.abc import Collection, Iterable, Sequence
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
    model: nn.Module, weight_decay: float, undecayed: Iterable[nn.Parameter] = ()
) -> list[dict[str, Any]]:
    """The optimizer's groups: trainable parameters only, matrices and kernels with decay, all else without.

    Norm scales, biases and LayerScale have one dimension; shrinking them towards zero regularises nothing and hurts
    (the usual rule since BERT). `undecayed` names matrices that must not decay either: token tables of which only some
    rows learn. A tied output head is one parameter and appears once. Empty groups are left out.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    spared = {id(parameter) for parameter in undecayed}
    decaying = {id(parameter) for parameter in trained if parameter.ndim >= 2} - spared
    groups = [
        {"params": [parameter for parameter in trained if id(parameter) in decaying], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if id(parameter) not in decaying], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
