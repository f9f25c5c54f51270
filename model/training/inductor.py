"""Two choices of torch's compiler that are others for our layers; the results are the same but for rounding.

On an H100 they save 6 and 7 of some 456 ms of an Eagle2-1B step: norms take a whole row at once where inductor would
loop over rows of more than 1,024 numbers (SigLIP has 1,152, Qwen2 7B 3,584), and the gradient of a weight with more
rows than columns is computed as its transpose, for which cuBLAS has faster kernels at SigLIP's sizes.
"""

from typing import Any

import torch
from torch._inductor import config
from torch._inductor.choices import InductorChoices
from torch._inductor.custom_graph_pass import CustomGraphPass
from torch._inductor.runtime.hints import ReductionHint
from torch._inductor.virtualized import V

LONGEST_ROW = 4096
MARK = f"aerie rows of {LONGEST_ROW}, turned weight gradients 1"  # part of the compile caches' keys


class WholeRows(InductorChoices):
    """Inductor's choices, but reductions over rows of up to `LONGEST_ROW` numbers hold the whole row."""

    @staticmethod
    def should_use_persistent_reduction(features: Any, cooperative_reduction: bool) -> bool:
        """True where one block takes a row at once."""
        short = V.graph.sizevars.statically_known_leq(features.reduction_numel, LONGEST_ROW)
        if short and not cooperative_reduction and features.get_reduction_hint() == ReductionHint.INNER:
            return True
        return InductorChoices.should_use_persistent_reduction(features, cooperative_reduction)

    def uuid(self) -> str:
        """What tells compile caches these choices from others."""
        return MARK


class TurnedWeightGradients(CustomGraphPass):
    """Computes gradient[out, T] @ input[T, in] as its transpose where out > in; the tokens T may be any number."""

    def __call__(self, graph: torch.fx.Graph) -> None:
        """Change a graph of aten operators in place."""
        for node in graph.find_nodes(op="call_function", target=torch.ops.aten.mm.default):
            if _is_wide_weight_gradient(node):
                _turn(graph, node)

    def uuid(self) -> str:
        """What tells compile caches this pass from others."""
        return MARK


def prefer_whole_rows() -> None:
    """Let everything that this process compiles from here on use `WholeRows`."""
    config.inductor_choices_class = WholeRows
    config.triton.mix_order_reduction_allow_multi_stages = True  # newer torch's default: norms' backward, 2 ms of 423


def _is_wide_weight_gradient(node: torch.fx.Node) -> bool:
    left: Any = node.args[0]
    transposed = left.target is torch.ops.aten.permute.default and list(left.args[1]) == [1, 0]
    rows, columns = node.meta["val"].shape
    return transposed and isinstance(rows, int) and isinstance(columns, int) and rows > columns


def _turn(graph: torch.fx.Graph, node: torch.fx.Node) -> None:
    permute, product = torch.ops.aten.permute.default, torch.ops.aten.mm.default
    arguments: Any = node.args
    left, right = arguments
    with graph.inserting_before(node):
        turned = _call(graph, product, _call(graph, permute, right, [1, 0]), left.args[0])
        node.replace_all_uses_with(_call(graph, permute, turned, [1, 0]))
    graph.erase_node(node)


def _call(graph: torch.fx.Graph, target: Any, *arguments: Any) -> torch.fx.Node:
    """A call with the shape that it returns, which inductor reads."""
    node = graph.call_function(target, arguments)
    values = [argument.meta["val"] if isinstance(argument, torch.fx.Node) else argument for argument in arguments]
    node.meta["val"] = target(*values)
    return node
