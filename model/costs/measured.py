"""How fast training was measured to be: the model FLOPs a second that a plan counts on. The only place for them.

An MFU here is model FLOPs over time, as a share of what one large bf16 product reaches on the same card
(`Gpu.matmul_flops`: 790 TFLOP/s on an H100), as issue 6 counts it. tests/benchmarks/bench_training.py measures it anew:
its `tflops` over that number, not its own `mfu`, whose ceiling is what the product reached in the same run.
"""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """One measurement; `everything`: all parts trained, not the connector alone. `origin` says what was run.

    `flash_attention` as a stage's setting: a plan without it never counts on a figure with FlashAttention 3.
    """

    preset: str
    everything: bool
    mfu: float
    origin: str
    flash_attention: str = "torch"


BENCH = "bench_training.py, ZeRO-1"
MEASURED = (
    Efficiency(preset="eagle2-1b", everything=True, mfu=0.488, origin=f"one H100, {BENCH}"),
    Efficiency(preset="eagle2-2b", everything=True, mfu=0.494, origin=f"one H100, {BENCH}"),
    Efficiency(preset="eagle2-9b", everything=False, mfu=0.678, origin=f"one H100, {BENCH}"),
    Efficiency(preset="eagle2-9b", everything=True, mfu=0.522, origin="two H200, bench_training.py, ZeRO-2"),
    Efficiency(preset="eagle2-1b", everything=True, mfu=0.522, origin=f"one H100, {BENCH}, FA3", flash_attention="fa3"),
    Efficiency(preset="eagle2-2b", everything=True, mfu=0.537, origin=f"one H100, {BENCH}, FA3", flash_attention="fa3"),
    Efficiency(
        preset="eagle2-9b", everything=False, mfu=0.697, origin=f"one H100, {BENCH}, FA3", flash_attention="fa3"
    ),
    Efficiency(
        preset="eagle2-9b",
        everything=True,
        mfu=0.563,
        origin="two H200, bench_training.py, ZeRO-2, FA3",
        flash_attention="fa3",
    ),
)


def efficiency(preset: str | None, trainable: Collection[str], flash_attention: str = "torch") -> Efficiency:
    """What was measured for a preset and these trainable parts; else the lowest of the same kind, which says so."""
    everything = "language" in trainable or "vision" in trainable
    usable = [found for found in MEASURED if found.flash_attention in ("torch", flash_attention)]
    alike = [found for found in usable if found.everything == everything]
    own = [found for found in alike if found.preset == preset]
    if own:
        return max(own, key=lambda found: found.mfu)
    lowest = min(alike, key=lambda found: found.mfu)
    return Efficiency(
        preset=preset or "", everything=everything, mfu=lowest.mfu, origin=f"not measured; as {lowest.preset}"
    )
