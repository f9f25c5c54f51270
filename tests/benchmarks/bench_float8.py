"""FP8 linear layers against bf16: how fast and how exact layer by layer, and whether the loss curves agree.

    python tests/benchmarks/bench_float8.py [--json] [--part layers] [--seconds 60] [--only 7b siglip]
        [--measure layer products errors tensorwise rowwise]
    python tests/benchmarks/bench_float8.py [--json] --part curves [--preset eagle2-1b|tiny] [--steps 300]
        [--runs tensorwise rowwise nudged fp32] [--least 16] [--precision bf16|fp32]
        [--recipe R --stage stage_1_5 --packing P --formatting F --tokenizer T]

Layers (true geometry, one layer each: SigLIP so400m and ConvNeXt-XXL's stage 3 at 48 tiles, Qwen2 at 16,384 tokens in
samples of 2,048): milliseconds and TFLOP/s (model FLOPs, forward and backward) of the compiled layer in bf16, with one
FP8 scale a tensor and with one a row (`layer`); TFLOP/s of each linear layer's three products alone (`products`); their
distances from float64 (`errors`); each linear layer compiled alone (`tensorwise`, `rowwise`). "from N" is the rule that
chooses the layers: harmonic mean of features in and out. What would start after `--seconds` is listed as not run.
Curves (float8_curves.py says how): a fresh network of a preset on made packs that it can learn (1B: 4,096 tokens, 4
tiles), or a recipe's network on the packs of one of its finished runs, in bf16 and with FP8 products; losses every 10
steps, then the table of differences.
Lines come as they are measured; with --json every line is JSON.
Without a GPU everything runs at toy size and emulated, to see that it runs; its times say nothing.
Needs torch, transformers, timm, numpy, pydantic and torchao.
"""
# ruff: noqa: E402 (the path is set first)

import argparse
import gc
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]

import torch
from float8_curves import Plan, compare, curves
from float8_data import HELD_OUT, made_packs, recipe_packs
from float8_layers import DEVICE, Geometry, Layer, geometries, layers, linears
from float8_products import errors, products

MEASURES = ("layer", "products", "errors", "tensorwise", "rowwise")
Rows = Iterator[tuple[str, dict[str, Any]]]


class Printer:
    """Prints figures as they come and keeps the names of parts that failed."""

    def __init__(self, *, as_json: bool) -> None:
        self._json, self.failed = as_json, []

    def line(self, part: str, layer: str, name: str, figures: dict[str, Any]) -> None:
        """One line."""
        if self._json:
            print(json.dumps({"part": part, "layer": layer, "name": name, **figures}), flush=True)
        else:
            print(f"{part:9} {layer:13} {name:22} {_readable(figures)}", flush=True)

    def part(self, part: str, layer: str, rows: Callable[[], Rows]) -> None:
        """A part's lines; one that crashes doesn't hide the others."""
        try:
            for name, figures in rows():
                self.line(part, layer, name, figures)
        except Exception as error:
            traceback.print_exc()
            self.failed.append(f"{part} / {layer}")
            self.line(part, layer, "failed", {"error": f"{type(error).__name__}: {error}"[:500]})
        finally:
            gc.collect()
            if DEVICE == "cuda":
                torch.cuda.empty_cache()


def _readable(figures: dict[str, Any]) -> str:
    parts = []
    for name, value in figures.items():
        if isinstance(value, dict):
            value = "(" + _readable(value) + ")"
        parts.append(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}")
    return "  ".join(parts)


def measure_layers(printer: Printer, only: list[str], measures: list[str], seconds: float) -> None:
    """The chosen measures of the chosen layers, in the order of the choice."""
    end = time.monotonic() + seconds
    chosen = [g for g in geometries() if not only or any(word.lower() in g.name.lower() for word in only)]
    kept: dict[str, Layer] = {}

    def layer(geometry: Geometry) -> Layer:
        if geometry.name not in kept:
            torch.manual_seed(0)
            kept[geometry.name] = Layer(geometry)
        return kept[geometry.name]

    ways: dict[str, Callable[[Geometry], Rows]] = {
        "layer": lambda g: layers(layer(g)),
        "products": lambda g: products(layer(g)),
        "errors": lambda g: errors(layer(g)),
        "tensorwise": lambda g: linears(layer(g), "tensorwise"),
        "rowwise": lambda g: linears(layer(g), "rowwise"),
    }
    for name, geometry in ((name, geometry) for name in measures for geometry in chosen):
        if DEVICE == "cpu" and name == "products":
            continue  # bare FP8 products have no emulation
        if time.monotonic() > end:
            printer.line(name, geometry.name, "not run", {"why": f"{seconds:g} s are over"})
            continue
        printer.part(name, geometry.name, lambda way=ways[name], geometry=geometry: way(geometry))


def compare_curves(printer: Printer, options: argparse.Namespace) -> None:
    """Losses as they come, the table, and with --json one line with every loss."""
    if options.packing:
        places = (options.recipe, options.stage, options.packing, options.formatting, options.tokenizer)
        data = recipe_packs(*places)
        steps = min(options.steps, (data.length - HELD_OUT) // data.packs_per_step)
        name = f"{options.stage} of {options.recipe}"
    else:
        data, steps, name = made_packs(options.preset, options.steps), options.steps, options.preset
    say = lambda kind, figures: printer.line("curve", name, kind, figures)  # noqa: E731
    plan = Plan(kinds=tuple(options.runs), steps=steps, least=options.least, precision=options.precision)
    found = curves(data, plan, say)
    for kind, figures in compare(found).items():
        printer.line("compared", name, kind, figures)
    if options.json:
        printer.line("curves", name, "all", found)


def main() -> None:
    """Run the parts and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", choices=["layers", "curves"], default="layers")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--measure", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--preset", choices=["tiny", "eagle2-1b"], default="eagle2-1b" if DEVICE == "cuda" else "tiny")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument(
        "--runs", nargs="+", choices=["tensorwise", "rowwise", "nudged", "fp32"], default=["tensorwise"]
    )
    parser.add_argument("--least", type=int, default=16)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    for place in ("recipe", "stage", "packing", "formatting", "tokenizer"):
        parser.add_argument(f"--{place}")
    options = parser.parse_args()
    import torchao

    printer = Printer(as_json=options.json)
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu, emulated"
    printer.line("machine", "", name, {"torch": torch.__version__, "torchao": torchao.__version__})
    if options.part == "layers":
        measure_layers(printer, options.only, options.measure, options.seconds)
    else:
        compare_curves(printer, options)
    sys.exit(1 if printer.failed else 0)


if __name__ == "__main__":
    main()
