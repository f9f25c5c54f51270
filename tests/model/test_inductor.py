"""What the compiler does otherwise for our layers: the same numbers, where it applies and nowhere else."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from model.training.inductor import TurnedWeightGradients

aten = torch.ops.aten


def traced(function, *tensors):
    """A graph for any number of tokens, with the pass applied."""
    graph = make_fx(function, tracing_mode="symbolic")(*tensors)
    TurnedWeightGradients()(graph.graph)
    graph.recompile()
    return graph


def products(graph):
    return [node.args[0].name for node in graph.graph.find_nodes(op="call_function", target=aten.mm.default)]


def weight_gradient(gradient, given):
    return aten.mm.default(aten.permute.default(gradient, [1, 0]), given)


@pytest.mark.parametrize(("out", "features", "turned"), [(12, 8, True), (8, 12, False), (8, 8, False)])
def test_a_weight_with_more_rows_than_columns_gets_its_gradient_turned(out, features, turned):
    widths = torch.randn(20, out), torch.randn(20, features)

    def gradient(tokens, others):
        # the widths are numbers in the graph, as those of parameters are; only the tokens may change
        return weight_gradient(tokens.view(-1, out), others.view(-1, features))

    graph = traced(gradient, *widths)
    plain = make_fx(gradient, tracing_mode="symbolic")(*widths)
    assert (graph.code != plain.code) is turned
    other = torch.randn(33, out), torch.randn(33, features)
    assert graph(*other).shape == (out, features)
    assert torch.allclose(graph(*other), other[0].T @ other[1], atol=1e-5)


def test_other_products_stay():
    left, right = torch.randn(12, 20), torch.randn(20, 8)
    assert products(traced(aten.mm.default, left, right)) == products(
        make_fx(aten.mm.default, tracing_mode="symbolic")(left, right)
    )
    assert TurnedWeightGradients().uuid(), "compile caches tell graphs with this pass from others"
