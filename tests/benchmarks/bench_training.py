"""Training speed on GPUs: optimizer steps of the true geometries through DeepSpeed, as MFU and samples a second.

    python tests/benchmarks/bench_training.py [--only NAME ...] [--json FILE] [--profile] [--fa3] [--quack]
    torchrun --nproc-per-node 2 tests/benchmarks/bench_training.py --only 9b-stage-1.5 1b-two ...

Random weights, bf16 compute, fp32 masters and Adam moments, packs of 16,384 tokens: eight samples of 6 tiles and 512
text tokens, 128 of them answers; `real` cases take lengths from ../shared/data/packing_lengths.npz when it is there.
MFU: model FLOPs (model.costs.flops, no recomputation) over time and the bf16 rate of a large product, which runs for
a second before each case and a second after it (matmul_rate): `mfu` is a share of the median rate of these seconds,
`mfu_of_best` of the fastest 40 ms in them. Cases run one after another; a failed one is printed and the next begins.
Exit status 1: one failed.
"""
# ruff: noqa: E402 (the path is set first)

import argparse
import json
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import torch
from matmul_rate import MatmulRate, matmul_rate
from training_case import Bench, Case, Timing, start
from training_cases import CASES
from training_plain import PlainBench

from model.costs.flops import pack_flops


def measured(case: Case, device: torch.device, profile: bool) -> dict[str, Any]:
    """Run a case between two looks at the card's rate; what it took a GPU."""
    before = matmul_rate(device)
    bench = PlainBench(case, device) if case.way == "plain" else Bench(case, device)
    try:
        timing = bench.run()
        if profile:
            print(kernels(bench), flush=True)
        figures = row(case, bench, timing)
    finally:
        bench.close()
    return figures | shares(figures["tflops"] * 1e12, before + matmul_rate(device))


def shares(flops: float, rate: MatmulRate) -> dict[str, Any]:
    """Model FLOP/s as shares of what the card does with one large product."""
    return {
        "matmul_tflops": round(rate.sustained / 1e12),
        "matmul_tflops_best": round(rate.best / 1e12),
        "mfu": round(flops / rate.sustained, 4),
        "mfu_of_best": round(flops / rate.best, 4),
    }


def row(case: Case, bench: Bench | PlainBench, timing: Timing) -> dict[str, Any]:
    """The figures of one rank, all of which do the same."""
    lengths = [tiles * bench.model_settings.tokens_per_tile + text for tiles, text, _ in case.mix]
    flops = (
        case.packs
        * pack_flops(
            bench.model_settings,
            bench.model.vocab_size,
            lengths=lengths,
            tiles=sum(tiles for tiles, *_ in case.mix),
            label_tokens=sum(answers for *_, answers in case.mix),
            trainable=case.trainable,
        ).total
    )
    return {
        "case": case.name,
        "gpus": bench.world,
        "flash_attention": case.settings(bench.world).flash_attention,
        "fused_mlp": case.settings(bench.world).fused_mlp,
        "seconds": round(timing.seconds, 4),
        "samples_per_second": round(case.packs * len(case.mix) / timing.seconds, 3),
        "tokens_per_second": round(case.packs * sum(lengths) / timing.seconds),
        "tflop": round(flops / 1e12, 1),
        "tflops": round(flops / timing.seconds / 1e12, 1),
        "peak_gib": round(timing.peak_gib, 1),
        "first_step": round(timing.first, 1),
        "losses": [round(loss, 4) for loss in timing.losses],
    }


def compare(rows: list[dict[str, Any]], vs: str) -> None:
    """Tell the last case's samples a second over those of `vs`, if that one has run."""
    base = next((row for row in rows if row["case"] == vs), None)
    if base is not None:
        rows[-1][f"times_{vs}"] = round(rows[-1]["samples_per_second"] / base["samples_per_second"], 3)


def kernels(bench: Bench, top: int = 32) -> str:
    """Where the device's time goes in one step."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        bench.step()
        torch.cuda.synchronize()
    events = sorted(profiler.key_averages(), key=lambda event: -event.self_device_time_total)
    lines = [
        f"{event.self_device_time_total / 1e3:9.2f} ms {event.count:6d} x {event.key[:110]}" for event in events[:top]
    ]
    total = sum(event.self_device_time_total for event in events) / 1e3
    return "\n".join([f"{total:9.2f} ms in all", *lines])


def asked_settings(options: argparse.Namespace) -> dict[str, str]:
    """Settings of a stage for the kernels that the command line asks for."""
    asked = {"flash_attention": "fa3"} if options.fa3 else {}
    return asked | ({"fused_mlp": "quack"} if options.quack else {})


def main() -> int:
    """Run the chosen cases; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=list(CASES), help="names of cases; default: all that fit the ranks"
    )
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("--fa3", action="store_true", help="FlashAttention 3 (flash_attention: fa3) in every case")
    parser.add_argument("--quack", action="store_true", help="GELU inside products (fused_mlp: quack) in every case")
    parser.add_argument("--profile", action="store_true", help="also print the kernels of one step")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU: nothing is measured")
        return 0
    device = start()
    lead = os.environ["RANK"] == "0"
    report: dict[str, Any] = {"device": torch.cuda.get_device_name(), "cases": []}
    if lead:
        print(f"{report['device']}  torch {torch.__version__}", flush=True)
    failed = False
    for name in options.only or CASES:
        try:
            case = replace(CASES[name], stage=CASES[name].stage | asked_settings(options))
            report["cases"].append(measured(case, device, options.profile and lead))
            compare(report["cases"], CASES[name].vs)
            if lead:
                print(json.dumps(report["cases"][-1]), flush=True)
        except Exception:
            failed = True
            print(f"{name} FAILED\n{traceback.format_exc()[-1500:]}", flush=True)
            torch.cuda.empty_cache()
        if options.json and lead:
            Path(options.json).write_text(json.dumps(report, indent=1))
    return int(failed)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # NCCL's threads must not hold a failed rank
