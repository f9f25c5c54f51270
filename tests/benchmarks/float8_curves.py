"""The same network on the same packs with and without FP8 products: do the loss curves agree? Run by bench_float8.py.

The reference has bf16 weights and products, fp32 masters and Adam states (as DeepSpeed keeps them), fused AdamW,
gradients clipped at 1, warm-up and cosine. With FP8, every linear layer of the towers and the language model from
`least` features on. The measure of a difference is what doesn't matter: `nudged` is the reference again, every initial
weight off by about half a bf16 step; `fp32` is the network without rounding. On a CPU the reference may be fp32 (the
tiny recipe's precision, and ten times faster): FP8's error is then all there is.
"""

import copy
import math
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from float8_data import HELD_OUT, Data
from torch import nn

from model.training.float8 import use_float8
from model.vlm import VisionLanguageModel, build_model

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
EVERY, SMOOTHED = 10, 50  # steps a line, steps a mean
PARTS = ("vision", "language")
COMPILED = ("Qwen2DecoderLayer", "SiglipEncoderLayer", "ConvNeXtBlock")  # classes
Say = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared: `kinds` with the reference, which computes in `precision` (bf16 or fp32)."""

    kinds: tuple[str, ...]
    steps: int
    least: int
    precision: str


class Trainee:
    """A network in a precision, with its masters and optimizer."""

    def __init__(self, base: VisionLanguageModel, kind: str, data: Data, plan: Plan, *, compiled: bool) -> None:
        self.model = copy.deepcopy(base).to(DEVICE)
        if kind == "nudged":
            _nudge(self.model)
        self.masters = [parameter.detach().float().clone() for parameter in self.model.parameters()]
        if "fp32" not in (kind, plan.precision):
            self.model.to(torch.bfloat16)
        if kind in ("tensorwise", "rowwise"):
            use_float8(self.model, kind, parts=PARTS, least=plan.least, emulate=DEVICE == "cpu")
        self.optimizer = torch.optim.AdamW(self.masters, lr=data.learning_rate, weight_decay=0.05, fused=True)
        for layer in self.model.modules() if compiled else ():
            if type(layer).__name__ in COMPILED:
                layer.forward = torch.compile(layer.forward, dynamic=False)

    def step(self, data: Data, numbers: range, rate: float) -> float:
        """One optimizer step; the loss before it."""
        loss = self.loss(data, numbers, backward=True)
        parameters = list(self.model.parameters())
        for master, parameter in zip(self.masters, parameters, strict=True):
            master.grad, parameter.grad = parameter.grad.float(), None
        nn.utils.clip_grad_norm_(self.masters, 1.0)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(parameters, self.masters)
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return loss

    def loss(self, data: Data, numbers: range, *, backward: bool) -> float:
        """The loss over some packs; with `backward` their gradients too."""
        packs = [data.pack(number, DEVICE) for number in numbers]
        total, loss = sum(denominator for *_, denominator in packs), 0.0
        for pack, weights, _ in packs:
            share = self.model(pack, weights)[0] / total
            if backward:
                share.backward()
            loss += share.detach()
        return float(loss)


def _nudge(model: nn.Module) -> None:
    generator = torch.Generator(DEVICE).manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, device=DEVICE)
            parameter.mul_(1 + 2.0**-9 * noise)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """A tenth of the steps up, then a cosine down to a tenth."""
    warm = max(steps // 10, 1)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (0.55 + 0.45 * math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


def curves(data: Data, plan: Plan, say: Say) -> dict[str, dict[str, Any]]:
    """Train all kinds side by side, step by step, so that a run which is cut off has compared what it did.

    Every `EVERY` steps: each kind's mean loss since the last line, and its relative distance from the reference's.
    Returns losses, held-out loss and seconds a step by kind.
    """
    base = build_model(data.settings, data.rows, data.image_id, seed=3)
    kinds = tuple(dict.fromkeys((plan.precision, *plan.kinds)))
    trainees = {kind: _started(base, kind, data, plan, say) for kind in kinds}
    losses: dict[str, list[float]] = {kind: [] for kind in kinds}
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for step in range(plan.steps):
        numbers = range(step * data.packs_per_step, (step + 1) * data.packs_per_step)
        rate = learning_rate(step, plan.steps, data.learning_rate)
        for kind, trainee in trainees.items():
            start = time.perf_counter()
            losses[kind].append(trainee.step(data, numbers, rate))
            seconds[kind].append(time.perf_counter() - start)
        if (step + 1) % EVERY == 0:
            means = {kind: statistics.mean(values[-EVERY:]) for kind, values in losses.items()}
            apart = {f"{kind}_apart": means[kind] / means[plan.precision] - 1 for kind in kinds[1:]}
            say(f"step {step + 1}", means | apart)
    held_out = range(data.length - HELD_OUT, data.length)
    # with gradients on, for without them every layer would be compiled again
    ends = {kind: trainee.loss(data, held_out, backward=False) for kind, trainee in trainees.items()}
    return {
        kind: {"losses": losses[kind], "held_out": ends[kind], "step_seconds": statistics.median(seconds[kind])}
        for kind in kinds
    }


def _started(base: VisionLanguageModel, kind: str, data: Data, plan: Plan, say: Say) -> Trainee:
    """A trainee, compiled where that works: one pass with gradients, thrown away, tells."""
    start = time.perf_counter()
    trainee = Trainee(base, kind, data, plan, compiled=DEVICE == "cuda")
    if DEVICE == "cuda":
        try:
            trainee.loss(data, range(1), backward=True)
            trainee.model.zero_grad(set_to_none=True)
        except Exception as error:
            traceback.print_exc()
            say(kind, {"compiling_failed": f"{type(error).__name__}: {error}"[:300], "now": "uncompiled"})
            trainee = Trainee(base, kind, data, plan, compiled=False)
    say(kind, {"ready_after_seconds": time.perf_counter() - start})
    return trainee


def smoothed(losses: list[float]) -> list[float]:
    """The mean of the last `SMOOTHED` losses at every step that has so many."""
    width = min(SMOOTHED, len(losses))
    return [statistics.mean(losses[end - width : end]) for end in range(width, len(losses) + 1)]


def compare(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Each kind against the first: smoothed loss at the end, the largest distance on the way, held-out loss."""
    reference = next(iter(found.values()))
    base, table = smoothed(reference["losses"]), {}
    for kind, run in found.items():
        mine = smoothed(run["losses"])
        table[kind] = {
            "first_loss": run["losses"][0],
            "end": mine[-1],
            "end_relative": mine[-1] / base[-1] - 1,
            "largest_relative": max(abs(a / b - 1) for a, b in zip(mine, base, strict=True)),
            "held_out": run["held_out"],
            "held_out_relative": run["held_out"] / reference["held_out"] - 1,
            "step_seconds": run["step_seconds"],
        }
    return table
