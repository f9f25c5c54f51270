"""FP8's bare matrix products against bf16's, and how far both are from float64. Run by bench_float8.py."""

from collections.abc import Iterator
from typing import Any

import torch
from float8_layers import DEVICE, SCALINGS, Layer, milliseconds
from torch import nn

ROWS = 4096  # tokens of the comparison with float64


def products(layer: Layer) -> Iterator[tuple[str, dict[str, Any]]]:
    """(shape, figures) of each linear layer's three products on copies that exist already; GPU only."""
    tokens = layer.geometry.tokens
    for wide, narrow in layer.linears():
        figures: dict[str, Any] = {}
        for name, (rows, inner, columns) in {
            "output": (tokens, wide, narrow),
            "input_gradient": (tokens, narrow, wide),
            "weight_gradient": (narrow, tokens, wide),
        }.items():
            figures[name] = _product(rows, inner, columns, fast=name == "output", gradient=name != "output")
        yield f"{wide} to {narrow}", figures


def _product(rows: int, inner: int, columns: int, *, fast: bool, gradient: bool) -> dict[str, float]:
    """[rows, inner] x [inner, columns] in TFLOP/s, with the kernels' settings that torchao's layers use."""
    work = 2e-9 * rows * inner * columns
    left, right = (torch.randn(size, inner, device=DEVICE, dtype=torch.bfloat16) for size in (rows, columns))
    found = {"bf16": work / milliseconds(lambda: left @ right.t())}
    one = torch.ones((), device=DEVICE)
    kind = torch.float8_e5m2 if gradient else torch.float8_e4m3fn
    a, b = left.to(kind), right.to(torch.float8_e4m3fn).t()
    options: dict[str, Any] = {"out_dtype": torch.bfloat16, "use_fast_accum": fast}
    found["tensorwise"] = work / milliseconds(lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, **options))
    if fast:  # without fast accumulation torchao multiplies tensor-wise and scales the rows afterwards
        scales = {"scale_a": torch.ones(rows, 1, device=DEVICE), "scale_b": torch.ones(1, columns, device=DEVICE)}
        found["rowwise"] = work / milliseconds(lambda: torch._scaled_mm(a, b, **scales, **options))
    return found


def errors(layer: Layer) -> Iterator[tuple[str, dict[str, Any]]]:
    """(shape, figures): the distance from float64, relative (Frobenius norm), of output and gradients.

    As trained networks have them: one input channel in a hundred is 20 times as loud as the others, and the gradients'
    rows differ by factors (log-normal, deviation 1).
    """
    generator = torch.Generator(DEVICE).manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, device=DEVICE, dtype=torch.float64)

    fast = {scaling: layer.converted(scaling, 16)[0].linears() for scaling in SCALINGS}
    for (wide, narrow), plain in layer.linears().items():
        loud = torch.where(torch.rand(wide, generator=generator, device=DEVICE) < 0.01, 20.0, 1.0)
        source = (drawn(min(ROWS, layer.geometry.tokens), wide) * loud).bfloat16()
        gradient = (1e-3 * drawn(len(source), narrow) * drawn(len(source), 1).exp()).bfloat16()
        exact = [
            source.double() @ plain.weight.detach().double().t(),
            gradient.double() @ plain.weight.detach().double(),
            gradient.double().t() @ source.double(),
        ]
        if plain.bias is not None:
            exact[0] = exact[0] + plain.bias.detach().double()
        found = {"bf16": _distances(plain, source, gradient, exact)}
        for scaling in SCALINGS:
            found[scaling] = _distances(fast[scaling][wide, narrow], source, gradient, exact)
        yield f"{wide} to {narrow}", found


def _distances(
    linear: nn.Linear, source: torch.Tensor, gradient: torch.Tensor, exact: list[torch.Tensor]
) -> dict[str, float]:
    source = source.detach().requires_grad_()
    output = linear(source)
    given = [output.detach(), *torch.autograd.grad(output, (source, linear.weight), gradient)]
    names = ("output", "input_gradient", "weight_gradient")
    return {
        name: float((value.double() - true).norm() / true.norm())
        for name, value, true in zip(names, given, exact, strict=True)
    }
