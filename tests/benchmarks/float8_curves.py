"""The same network on the same packs with and without FP8 products: do the loss curves agree? Run by bench_float8.py.

The reference has bf16 weights and products, fp32 masters and Adam states (as DeepSpeed keeps them), fused AdamW,
gradients clipped at 1, warm-up and cosine. With FP8, every linear layer of the towers and the language model from
`least` features on. The measure of a difference is what doesn't matter: `nudged` is the reference again, every initial
weight off by about half a bf16 step; `fp32` is the network without rounding. On a CPU the reference may be fp32 (the
tiny recipe's precision, and ten times faster): FP8's error is then all there is.
"""

import copy
import itertools
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
COMPILED = ("Qwen2DecoderLayer", "SiglipEncoderLayer", "ConvNeXtBlock")
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

    def __init__(self, base: VisionLanguageModel, kind: str, data: Data, plan: "Plan", *, compiled: bool) -> None:
        self.model = copy.deepcopy(base).to(DEVICE)
        if kind == "nudged":
            _nudge(self.model)
        self.masters = [parameter.detach().float().clone() for parameter in self.model.parameters()]
        if "fp32" not in (kind, plan.precision):
            self.model.to(torch.bfloat16)
        if kind in ("tensorwise", "rowwise"):
            use_float8(self.model, kind, least=plan.least, emulate=DEVICE == "cpu")
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
        return loss

    def loss(self, data: Data, numbers: range, *, backward: bool) -> float:
        """The loss over some packs; with `backward` their gradients too."""
        packs = [data.pack(number, DEVICE) for number in numbers]
        total, loss = sum(denominator for *_, denominator in packs), 0.0
        for pack, weights, _ in packs:
            result = self.model(pack, weights)
            share = (result[0] if isinstance(result, tuple) else result) / total
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


def curve(base: VisionLanguageModel, data: Data, kind: str, plan: Plan, say: Say) -> dict[str, Any]:
    """Train one network; its losses, held-out loss and seconds a step. Without compilation where that fails."""
    if DEVICE == "cuda":
        try:
            return _curve(base, data, kind, plan, say, compiled=True)
        except Exception as error:
            traceback.print_exc()
            say(kind, {"compiling_failed": f"{type(error).__name__}: {error}"[:300], "now": "uncompiled"})
            torch._dynamo.reset()
            torch.cuda.empty_cache()
    return _curve(base, data, kind, plan, say, compiled=False)


def _curve(base: VisionLanguageModel, data: Data, kind: str, plan: Plan, say: Say, *, compiled: bool) -> dict[str, Any]:
    torch._dynamo.reset()
    trainee, losses, ends = Trainee(base, kind, data, plan, compiled=compiled), [], []
    for step in range(plan.steps):
        first = step * data.packs_per_step
        rate = learning_rate(step, plan.steps, data.learning_rate)
        losses.append(trainee.step(data, range(first, first + data.packs_per_step), rate))
        ends.append(time.perf_counter())
        if (step + 1) % EVERY == 0:
            say(kind, {"step": step + 1, "loss": statistics.mean(losses[-EVERY:])})
    with torch.no_grad():
        held_out = trainee.loss(data, range(data.length - HELD_OUT, data.length), backward=False)
    between = [after - before for before, after in itertools.pairwise(ends)]
    return {"losses": losses, "held_out": held_out, "step_seconds": statistics.median(between), "compiled": compiled}


def smoothed(losses: list[float]) -> list[float]:
    """The mean of the last `SMOOTHED` losses at every step that has so many."""
    width = min(SMOOTHED, len(losses))
    return [statistics.mean(losses[end - width : end]) for end in range(width, len(losses) + 1)]


def compare(found: dict[str, dict[str, Any]], reference_kind: str) -> dict[str, dict[str, float]]:
    """Each run against the reference: smoothed loss at the end, the largest distance on the way, held-out loss."""
    reference, table = found[reference_kind], {}
    base = smoothed(reference["losses"])
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


def curves(data: Data, plan: Plan, say: Say) -> dict[str, Any]:
    """Train every kind, the reference first; one that fails is left out and said."""
    base = build_model(data.settings, data.rows, data.image_id, seed=3)
    found: dict[str, dict[str, Any]] = {}
    for kind in dict.fromkeys((plan.precision, *plan.kinds)):
        try:
            found[kind] = curve(base, data, kind, plan, say)
        except Exception as error:
            traceback.print_exc()
            say(kind, {"failed": f"{type(error).__name__}: {error}"[:500]})
    return {"runs": found, "compared": compare(found, plan.precision) if plan.precision in found else {}}
