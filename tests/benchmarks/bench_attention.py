"""Attention over packs on one GPU: right, isolated, without waiting for the device, and how fast.

    python tests/benchmarks/bench_attention.py [--json] [--tokens 16384] [--part checks|times] [--only 0.5b 7b]

Head geometry is that of Qwen2.5 0.5B to 32B. Packs of `--tokens`: `real` lengths from ../shared (chart and document
questions; its lengths are used when the folder is there), `mixed` ones from 1 token to half the pack. The reference is
block-diagonal attention in float64. Baselines in the same run: samples as padded rows (the way without the varlen
kernel), a dense mask through SDPA, flex_attention with a block mask, and varlen with repeated key heads.
Without a GPU the checks run on the exact CPU way (use a small --tokens) and nothing is timed. Exit status 1: a check
failed. Needs torch, transformers and numpy only.
"""
# ruff: noqa: E402 (the path and cuBLAS are set first)

import argparse
import json
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for the bit-by-bit checks

import torch
import transformers
from attention_checks import (
    DEVICE,
    GEOMETRY,
    Parts,
    borders_of,
    checks,
    compiled,
    drawn,
    lengths_file,
    pack_lengths,
    packed,
)
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from model.attention import attention_by_rows


def by_rows(parts: Parts, borders: dict[str, Any]) -> torch.Tensor:
    """The way without the varlen kernel: samples as padded rows."""
    rows = len(borders["cu_seqlens"]) - 1
    return attention_by_rows(*parts, borders["sequence"], borders["positions"], rows, borders["max_seqlen"], None)


def repeated(parts: Parts, groups: int) -> Parts:
    """Key and value with as many heads as the query."""
    return [parts[0], *(part.repeat_interleave(groups, dim=1) for part in parts[1:])]


def ways(parts: Parts, borders: dict[str, Any], tokens: int) -> dict[str, Callable[[Parts], torch.Tensor]]:
    """The project's attention and its baselines, by name."""
    torch._dynamo.reset()  # each pack has a mask of its own, and recompilations are counted
    groups, sequence = parts[0].shape[1] // parts[1].shape[1], borders["sequence"]
    places = torch.arange(tokens, device=DEVICE)
    mask = (sequence[:, None] == sequence[None]) & (places[:, None] >= places[None])

    def visible(_: Any, __: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (sequence[query] == sequence[key]) & (query >= key)

    blocks = create_block_mask(visible, None, None, tokens, tokens, device=DEVICE)
    flex = torch.compile(flex_attention, dynamic=False)
    return {
        "packed": lambda parts: packed(parts, borders),
        "packed, key heads repeated": lambda parts: packed(repeated(parts, groups), borders),
        "padded rows": lambda parts: by_rows(parts, borders),
        "flex": lambda parts: flex(*parts, block_mask=blocks, enable_gqa=True),
        "dense mask": lambda parts: F.scaled_dot_product_attention(
            *repeated(parts, groups), attn_mask=mask[None, None]
        ),
    }


def milliseconds(work: Callable[[], Any], repeats: int = 10) -> float:
    """Median of the repeats, after two that warm up."""
    for _ in range(2):
        work()
    taken = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken)


def times(geometry: tuple[int, int, int], kind: str, tokens: int) -> dict[str, Any]:
    """Milliseconds, TFLOP/s of the useful products and peak memory of every way, bf16; a baseline may fail."""
    lengths = pack_lengths(kind, tokens, seed=1)
    borders, parts = borders_of(lengths), drawn(geometry, tokens, torch.bfloat16)
    forward_work = 2 * sum(length**2 for length in lengths) * geometry[0] * geometry[2] / 1e12  # both products, causal
    found: dict[str, Any] = {"samples": len(lengths), "longest": max(lengths)}
    for name, run in ways(parts, borders, tokens).items():
        try:
            gradient = torch.randn_like(run(parts))
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            with torch.no_grad():
                forward = milliseconds(lambda run=run: run(parts))
            both = milliseconds(lambda run=run, gradient=gradient: torch.autograd.grad(run(parts), parts, gradient))
            found[name] = {
                "forward_ms": forward,
                "forward_backward_ms": both,
                "forward_tflops": forward_work / forward * 1e3,
                "forward_backward_tflops": 3.5 * forward_work / both * 1e3,
                "peak_mib": (torch.cuda.max_memory_allocated() - before) / 2**20,
            }
        except Exception as error:
            if name == "packed":
                raise
            found[name] = {"failed": f"{type(error).__name__}: {error}"[:300]}
        torch.cuda.empty_cache()
    for figures in found.values():
        if isinstance(figures, dict) and "failed" not in figures:
            figures["times_packed"] = figures["forward_backward_ms"] / found["packed"]["forward_backward_ms"]
    return found


def failures(found: Any, path: str = "") -> list[str]:
    """Names of the checks that don't hold."""
    if isinstance(found, dict):
        return [name for key, value in found.items() if key != "flash" for name in failures(value, f"{path} / {key}")]
    return [path] if found is False else []


def guarded(part: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """A part's result; one that crashes is a failed check and doesn't hide the other parts."""
    try:
        return part(*arguments)
    except Exception as error:
        traceback.print_exc()
        return {"crashed": f"{type(error).__name__}: {error}"[:500], "ran_to_its_end": False}
    finally:
        torch.use_deterministic_algorithms(False)


def main() -> None:
    """Run the parts and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tokens", type=int, default=16_384)
    parser.add_argument("--part", choices=["checks", "times"])
    parser.add_argument("--only", nargs="*", choices=list(GEOMETRY), default=list(GEOMETRY))
    options = parser.parse_args()
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu"
    found: dict[str, Any] = {"device": name, "torch": torch.__version__, "transformers": transformers.__version__}
    found["real_lengths"] = str(lengths_file() or "not found: drawn as the mixed ones")
    for size in options.only:
        found[size], geometry = {}, GEOMETRY[size]
        if options.part in (None, "checks"):
            found[size]["checks"] = guarded(checks, geometry, options.tokens)
        if options.part in (None, "times") and DEVICE == "cuda":
            found[size]["times"] = {kind: guarded(times, geometry, kind, options.tokens) for kind in ("real", "mixed")}
    if options.part in (None, "checks") and DEVICE == "cuda":
        found["compiled"] = guarded(compiled, GEOMETRY[options.only[0]], options.tokens)
    found["failed_checks"] = failures(found)
    print(json.dumps(found, indent=None if options.json else 1))
    sys.exit(1 if found["failed_checks"] else 0)


if __name__ == "__main__":
    main()
