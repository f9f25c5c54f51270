"""SigLIP's MLP on one Hopper GPU: is GELU inside its products right, and how fast is it?

    python tests/benchmarks/bench_mlp.py [--json] [--tiles 48] [--part checks times tilings]

Widths of SigLIP so400m, 1,024 tokens a tile, bfloat16. The baseline in the same run is transformers' MLP under
torch.compile, its wider weight's gradient turned (`model.training.inductor`) as in training. `tilings` are those of
QuACK's kernels. Needs quack-kernels. A part that fails prints its error and the rest goes on; exit status 1: something
failed.
"""
# ruff: noqa: E402 (the path is set first)

import argparse
import json
import sys
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]

import torch
from kernel_rows import failures, guarded, milliseconds, rows, show
from torch import nn
from transformers import SiglipVisionConfig
from transformers.models.siglip.modeling_siglip import SiglipMLP

from model.config import SiglipSettings
from model.training.compiling import _inductor
from model.vision.fused_mlp import fuse_mlps

DEVICE, SIGLIP, TOKENS = "cuda", SiglipSettings(), 1024
LIMIT = 6e-3  # relative error of bfloat16 results
PARTS = ("checks", "times", "tilings")
SHAPES = [(128, 192, True), (128, 160, True), (128, 208, True), (192, 128, True),
          (256, 128, False), (256, 160, False), (256, 192, False), (128, 256, False)]  # fmt: skip


def mlp(fused: bool, dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """A SigLIP MLP; the same weights each time."""
    torch.manual_seed(0)
    sizes = {"hidden_size": SIGLIP.hidden_size, "intermediate_size": SIGLIP.intermediate_size}
    made = SiglipMLP(SiglipVisionConfig(hidden_act=SIGLIP.hidden_act, **sizes)).to(DEVICE, torch.bfloat16).to(dtype)
    if fused:
        fuse_mlps(made, SIGLIP)
    return made


def drawn(tiles: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states and the gradient of the result, [P, T, D]."""
    generator = torch.Generator(DEVICE).manual_seed(0)
    shape = (tiles, TOKENS, SIGLIP.hidden_size)
    hidden, slope = (torch.randn(shape, generator=generator, device=DEVICE) for _ in range(2))
    return hidden.bfloat16(), slope.bfloat16()


def results(layer: nn.Module, hidden: torch.Tensor, slope: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output and gradients by name."""
    given = hidden.detach().requires_grad_()
    output = layer(given)
    gradients = torch.autograd.grad(output, [given, *layer.parameters()], slope)
    return {"output": output.detach()} | dict(zip(("input", *dict(layer.named_parameters())), gradients, strict=True))


def checks(_: int) -> None:
    """Both ways against float64; 1 and 3 tiles, since the kernels' tiles of 128 x 192 fit neither width."""
    for tiles in (1, 3):
        hidden, slope = drawn(tiles)
        exact = results(mlp(False, torch.float64), hidden.double(), slope.double())
        for fused in (False, True):
            found = results(mlp(fused), hidden, slope)
            errors = {name: float((found[name].double() - exact[name]).norm() / exact[name].norm()) for name in exact}
            show({"part": "check", "tiles": tiles, "way": "quack" if fused else "torch", **errors})
            if max(errors.values()) > LIMIT:
                failures.append(f"check {tiles} {fused}")


def times(tiles: int) -> None:
    """Milliseconds forward, without graph, and of forward and backward pass together."""
    hidden, slope = drawn(tiles)
    found = {}
    for fused in (False, True):
        layer = mlp(fused)
        layer.compile(backend=partial(_inductor, 1.0, siglip=True), dynamic=True)
        with torch.no_grad():
            forward = milliseconds(partial(layer, hidden))
        both = milliseconds(partial(results, layer, hidden, slope))
        found[fused] = both
        show({"part": "times", "way": "quack" if fused else "torch", "tiles": tiles, "forward_ms": forward,
              "forward_backward_ms": both})  # fmt: skip
    show({"part": "times", "torch_over_quack": found[False] / found[True]})


def tilings(tiles: int) -> None:
    """Milliseconds of the two fused kernels under each tiling."""
    from quack.epilogue.library import dgelu_dbias_mod
    from quack.gemm_config import GemmConfig
    from quack.gemm_interface import gemm_act

    (hidden, slope), layer = (tensor.flatten(0, 1) for tensor in drawn(tiles)), mlp(False)
    up, down, bias = (tensor.detach() for tensor in (layer.fc1.weight, layer.fc2.weight, layer.fc1.bias))
    given = layer.fc1(hidden).detach()
    for (tall, wide, pingpong), (cluster_m, cluster_n) in product(SHAPES, ((2, 1), (1, 2))):
        shape = {"tile_m": tall, "tile_n": wide, "cluster_m": cluster_m, "cluster_n": cluster_n, "pingpong": pingpong}
        how: dict[str, Any] = {"config": GemmConfig(**shape, is_dynamic_persistent=False), "tuned": False}
        forward = partial(gemm_act, hidden, up.T, bias=bias, activation="gelu_tanh_approx", **how)
        backward = partial(dgelu_dbias_mod, slope, down, given, **how)
        with guarded(f"tiling {shape}"):
            both = {"forward_ms": milliseconds(forward), "backward_ms": milliseconds(backward)}
            show({"part": "tilings", **shape, **both})


def main() -> int:
    """Run the chosen parts; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--tiles", type=int, default=48)
    parser.add_argument("--json", action="store_true", help="print all rows as one JSON list")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU: nothing is measured")
        return 0
    for part in options.part:
        with guarded(part):
            {"checks": checks, "times": times, "tilings": tilings}[part](options.tiles)
    if options.json:
        print(json.dumps(rows, indent=1))
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
