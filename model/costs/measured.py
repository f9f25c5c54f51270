"""How fast training was measured to be: the model FLOPs a second that a plan counts on. The only place for them.

An MFU here is model FLOPs over time, as a share of what one large bf16 product reaches on the same card
(`Gpu.matmul_flops`: 790 TFLOP/s on an H100). tests/benchmarks/bench_training.py measures it anew:
its `tflops` over that number, not its own `mfu`, whose ceiling is what the product reached in the same run.
"""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """One measurement; `everything`: all parts trained, not the connector alone. `origin` says what was run.

    `kernels` are settings of a stage: a plan without them never counts on a figure that was measured with them.
    """

    preset: str
    everything: bool
    mfu: float
    origin: str
    kernels: frozenset[str] = frozenset()


BENCH = "bench_training.py, ZeRO-1"
FA3 = frozenset({"flash_attention: fa3"})
FA3_QUACK = FA3 | {"fused_mlp: quack"}
ON_ONE = f"one H100, {BENCH}"
ON_TWO = "two H200, bench_training.py, ZeRO-2"
MEASURED = (
    Efficiency(preset="eagle2-1b", everything=True, mfu=0.488, origin=ON_ONE),
    Efficiency(preset="eagle2-2b", everything=True, mfu=0.494, origin=ON_ONE),
    Efficiency(preset="eagle2-9b", everything=False, mfu=0.678, origin=ON_ONE),
    Efficiency(preset="eagle2-9b", everything=True, mfu=0.522, origin=ON_TWO),
    Efficiency(preset="eagle2-1b", everything=True, mfu=0.522, origin=f"{ON_ONE}, FA3", kernels=FA3),
    Efficiency(preset="eagle2-2b", everything=True, mfu=0.537, origin=f"{ON_ONE}, FA3", kernels=FA3),
    Efficiency(preset="eagle2-9b", everything=False, mfu=0.697, origin=f"{ON_ONE}, FA3", kernels=FA3),
    Efficiency(preset="eagle2-9b", everything=True, mfu=0.563, origin=f"{ON_TWO}, FA3", kernels=FA3),
    Efficiency(preset="eagle2-1b", everything=True, mfu=0.539, origin=f"{ON_ONE}, FA3, QuACK", kernels=FA3_QUACK),
    Efficiency(preset="eagle2-2b", everything=True, mfu=0.553, origin=f"{ON_ONE}, FA3, QuACK", kernels=FA3_QUACK),
    Efficiency(preset="eagle2-9b", everything=False, mfu=0.707, origin=f"{ON_ONE}, FA3, QuACK", kernels=FA3_QUACK),
    Efficiency(preset="eagle2-9b", everything=True, mfu=0.564, origin=f"{ON_TWO}, FA3, QuACK", kernels=FA3_QUACK),
)


def efficiency(preset: str | None, trainable: Collection[str], kernels: Collection[str] = ()) -> Efficiency:
    """What was measured for a preset and these trainable parts; else the lowest of the same kind, which says so."""
    everything = "language" in trainable or "vision" in trainable
    usable = [found for found in MEASURED if found.kernels <= set(kernels)]
    alike = [found for found in usable if found.everything == everything]
    own = [found for found in alike if found.preset == preset]
    if own:
        return max(own, key=lambda found: found.mfu)
    lowest = min(alike, key=lambda found: found.mfu)
    return Efficiency(
        preset=preset or "", everything=everything, mfu=lowest.mfu, origin=f"not measured; as {lowest.preset}"
    )
