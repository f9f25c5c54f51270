"""Evaluation's speed: batches with captured steps against transformers' generate, one question at a time.

    python tests/benchmarks/bench_generation.py [--preset eagle2-1b] [--samples 256] [--alone 40] [--seconds 270]
        [--ways graph-64 eager-64 graph-128 graph-32] [--precision bf16] [--json]

Both have the same random weights and questions (`generation_case`), four to an image, and the same number of tokens
for each answer. One by one: image through the towers for every question, batch 1, KV cache, sdpa. Ours is
`model.evaluation.batches` and `image_features` as evaluation uses them, with the tiles in memory: decoding pictures,
which threads do beside the GPU, is in neither. `graph-N` is the GPU's way, N rows with captured steps (on a CPU the
same steps one by one), `eager-N` padded batches with a growing cache. cuDNN's attention is off for all: it plans every
new length anew. `first` counts what a way does once (captures) too. Agreement is with one by one; where answers part,
the margin is what the logits of a pass without cache have between the two tokens. Rows go to stderr as they come; a way
that fails is printed and the next begins. Exit status 1: one failed.
"""
# ruff: noqa: E402 (the path is set first)

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "benchmarks")]

import numpy as np
import torch
import transformers
from generation_case import Questions, embedded, logits_along, network, one_by_one, questions
from kernel_rows import failures, guarded, rows, show

from model.evaluation.batches import BatchedDecoding, Prompt
from model.generation import continue_prompts, image_features
from model.graph_decoding import GraphDecoder
from model.presets import PRESETS, preset
from model.vlm import VisionLanguageModel

WAYS = ("graph-64", "eager-64", "graph-128", "graph-32")
TILES_AT_ONCE = 64
PARTED = 12  # answers whose margin is looked at
BEGAN = time.monotonic()
Answers = dict[int, list[int]]


def synchronize() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(function: Callable[..., Any], spent: dict[str, float], name: str) -> Callable[..., Any]:
    """The function, its device time added up."""

    def run(*arguments: Any, **options: Any) -> Any:
        synchronize()
        begin = time.perf_counter()
        result = function(*arguments, **options)
        synchronize()
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - begin
        return result

    return run


def alone(
    model: VisionLanguageModel, asked: Questions, chosen: Sequence[Prompt], seconds: float
) -> tuple[Answers, float]:
    """Answers one by one until `seconds` are over, and answers a second."""
    list(one_by_one(model, asked, chosen[:2]))  # kernels are loaded
    synchronize()
    begin, found = time.perf_counter(), {}
    for prompt, tokens in zip(chosen, one_by_one(model, asked, chosen), strict=False):
        found[prompt.places[0]] = tokens
        if time.perf_counter() - begin > seconds:
            break
    synchronize()
    took, made = time.perf_counter() - begin, sum(map(len, found.values()))
    show({"part": "one by one", "samples": len(found), "seconds": took, "samples_per_second": len(found) / took,
          "tokens_per_second": made / took, "mean_tokens": made / len(found)})  # fmt: skip
    return found, len(found) / took


def together(
    model: VisionLanguageModel, decoding: BatchedDecoding, asked: Questions, see: Any = image_features
) -> Answers:
    """All answers, as evaluation makes them."""
    features = dict(zip(asked.tiles, see(model, asked.tiles.values(), TILES_AT_ONCE), strict=True))
    found = {}
    for batch, tokens in decoding.answers(asked.prompts, features):
        found |= {prompt.places[0]: row for prompt, row in zip(batch, tokens, strict=True)}
    return found


def made_decoding(model: VisionLanguageModel, way: str) -> BatchedDecoding:
    """A way by its name."""
    kind, _, size = way.partition("-")
    decoding = BatchedDecoding(model, batch_size=int(size), end_ids=[], graphs=kind == "graph")
    if kind == "graph" and decoding.decoder is None:  # no GPU
        decoding.decoder = GraphDecoder(model.language, max_rows=int(size), capture=False, cache_bytes=1 << 28)
    return decoding


def measure(model: VisionLanguageModel, asked: Questions, way: str, base: float) -> Answers:
    """Time a way: with what it does once, without, and once more in parts."""
    decoding = made_decoding(model, way)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(2):
        synchronize()
        begin = time.perf_counter()
        found = together(model, decoding, asked)
        synchronize()
        seconds.append(time.perf_counter() - begin)
    made = sum(map(len, found.values()))
    row = {"part": way, "samples": len(found), "first_seconds": seconds[0], "seconds": seconds[1],
           "samples_per_second_first": len(found) / seconds[0], "samples_per_second": len(found) / seconds[1],
           "times_one_by_one": len(found) / seconds[1] / base if base else None,
           "times_one_by_one_first": len(found) / seconds[0] / base if base else None,
           "tokens_per_second": made / seconds[1]}  # fmt: skip
    if torch.cuda.is_available():
        row["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    show(row)
    with guarded(f"{way}: parts"):
        show({"part": f"{way}: split", **split(model, decoding, asked)})
    return found


def split(model: VisionLanguageModel, decoding: BatchedDecoding, asked: Questions) -> dict[str, Any]:
    """Where the seconds go. Waiting for the device at every border makes the whole a little longer."""
    spent: dict[str, float] = {}
    steps = [0]
    if decoding.decoder is not None:
        made = decoding.decoder
        made._prefill = timed(made._prefill, spent, "prefill")  # type: ignore[method-assign]
        for shape, step in tuple(made._steps.items()):
            made._steps[shape] = counted(step, steps)
    timed_whole = timed(together, spent, "whole")
    timed_whole(model, decoding, asked, timed(image_features, spent, "vision"))
    rest = spent["whole"] - sum(seconds for name, seconds in spent.items() if name != "whole")
    shown: dict[str, Any] = {**spent, "decoding_and_host": rest}
    if decoding.decoder is not None and steps[0]:
        shown |= {"steps": steps[0], "ms_a_step_with_host": rest / steps[0] * 1e3}
        for shape, step in decoding.decoder._steps.items():
            shown[f"ms_{shape[0]}x{shape[1]}"] = step_milliseconds(decoding.decoder, step)
    return shown


def counted(step: Callable[[], None], steps: list[int]) -> Callable[[], None]:
    """A step that is counted."""

    def run() -> None:
        steps[0] += 1
        step()

    return run


@torch.inference_mode()
def step_milliseconds(decoder: GraphDecoder, step: Callable[[], None], times: int = 10) -> float:
    """A step of a full cache's width, replayed."""
    decoder.positions.fill_(100)
    step()
    synchronize()
    begin = time.perf_counter()
    for _ in range(times):
        step()
    synchronize()
    return (time.perf_counter() - begin) / times * 1e3


def agreement(model: VisionLanguageModel, asked: Questions, way: str, found: Answers, expected: Answers) -> None:
    """How far a way's answers are those of one by one."""
    firsts, margins, typical = [], [], []
    for place, tokens in expected.items():
        parted = next(
            (at for at, pair in enumerate(zip(tokens, found[place], strict=True)) if pair[0] != pair[1]), None
        )
        if parted is None:
            continue
        firsts.append(parted)
        if len(margins) < PARTED:
            prompt = asked.prompts[place]
            logits = logits_along(model, prompt, asked.tiles[prompt.view], tokens)
            margins.append(float((logits[parted, tokens[parted]] - logits[parted, found[place][parted]]).abs()))
            best = logits.topk(2).values
            typical += (best[:, 0] - best[:, 1]).tolist()
    said = [token for tokens in expected.values() for token in tokens]
    row = {"part": f"{way}: agreement", "compared": len(expected), "equal": 1 - len(firsts) / len(expected),
           "tokens": len(said), "distinct_tokens": len(set(said)),
           "distinct_answers": len(set(map(tuple, expected.values())))}  # fmt: skip
    if firsts:
        row |= {"median_first_difference": float(np.median(firsts)), "largest_margin_there": max(margins),
                "median_margin_there": float(np.median(margins)),
                "median_margin_of_all_steps": float(np.median(typical))}  # fmt: skip
    show(row)


@torch.inference_mode()
def check(model: VisionLanguageModel, asked: Questions) -> None:
    """Twelve prompts, four rows: captured steps equal the same steps one by one, and how many the growing cache."""
    prompts = [embedded(model, prompt, asked.tiles[prompt.view]) for prompt in asked.prompts[:12]]
    limits = [3 + 5 * number % 13 for number in range(len(prompts))]
    eager = continue_prompts(model.language, prompts, end_ids=[], max_new_tokens=limits)
    row: dict[str, Any] = {"part": "check"}
    made = {name: GraphDecoder(model.language, max_rows=4, capture=name == "graphs", cache_bytes=1 << 30)
            for name in ("steps", "graphs")[: 1 + torch.cuda.is_available()]}  # fmt: skip
    found: dict[str, list[list[int]]] = {}
    for name, decoder in made.items():
        for _ in range(2):
            done: Answers = {}
            sizes = [len(prompt) for prompt in prompts]
            for some in decoder.answers(sizes, prompts.__getitem__, end_ids=[], max_new_tokens=limits):
                done |= some
            found[name] = [done[number] for number in range(len(prompts))]
            row[f"{name}_equal_growing_cache"] = share(found[name], eager)
            row[f"{name}_equal_steps"] = min(share(found[name], found["steps"]), row.get(f"{name}_equal_steps", 1.0))
    row["distinct_tokens"] = len({token for tokens in eager for token in tokens})
    row["tokens"] = sum(limits)
    show(row)


def share(some: list[list[int]], others: list[list[int]]) -> float:
    """Of rows that are equal."""
    return float(np.mean([one == other for one, other in zip(some, others, strict=True)]))


def main() -> int:
    """Check, then the baseline, then each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--preset", choices=PRESETS, default="eagle2-1b")
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--per-image", type=int, default=4)
    parser.add_argument("--alone", type=int, default=40, help="questions that are also asked one by one")
    parser.add_argument("--seconds", type=float, default=270, help="no way begins after these")
    parser.add_argument("--ways", nargs="*", default=WAYS)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default=None)
    options = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    torch.backends.cuda.enable_cudnn_sdp(False)
    precision = options.precision or ("bf16" if on_gpu else "fp32")
    settings = preset(options.preset)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = network(settings, torch.device("cuda" if on_gpu else "cpu"), dtype)
    asked = questions(settings, options.samples, options.per_image)
    sizes = [len(prompt.input_ids) for prompt in asked.prompts]
    show({"part": "machine", "gpu": torch.cuda.get_device_name() if on_gpu else "none", "torch": torch.__version__,
          "transformers": transformers.__version__, "preset": options.preset, "precision": precision,
          "samples": len(sizes), "images": len(asked.tiles), "mean_prompt": float(np.mean(sizes)),
          "longest": max(sizes), "tiles": sum(map(len, asked.tiles.values())),
          "ready_after": time.monotonic() - BEGAN})  # fmt: skip
    with guarded("check"):
        check(model, asked)
    expected: Answers = {}
    base = 0.0
    with guarded("one by one"):
        chosen = asked.prompts[:: max(len(sizes) // options.alone, 1)][: options.alone]
        expected, base = alone(model, asked, chosen, options.seconds / 3)
    for way in options.ways:
        if time.monotonic() - BEGAN > options.seconds:
            print(f"no time left for {way}", file=sys.stderr)
            continue
        with guarded(way):
            found = measure(model, asked, way, base)
            agreement(model, asked, way, found, expected)
        if on_gpu:
            torch.cuda.empty_cache()
    print(json.dumps({"rows": rows, "failures": failures}) if options.json else f"failures: {failures}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
