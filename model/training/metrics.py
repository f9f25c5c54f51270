"""What is recorded of each step, and the files that keep it: one JSON line a step."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.files import is_s3, join

METRICS_NAME, STEPS_NAME = "metrics.jsonl", "steps.jsonl"
TAIL_SHARE = 0.1  # a final loss is a mean over the last tenth of the steps: single ones jump
# What another run of the same stage measures differently, and what follows from it.
OF_THIS_RUN = {"seconds", "wait_share", "mfu", "memory_bytes", "checkpoint_seconds"}
RATES = ("tokens", "samples", "tiles")


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedStep:
    """Why a step changed nothing: its `what` ("loss", "gradient norm") was `value` ("nan", "inf"; JSON knows neither).

    `packs` are those whose loss it was; all of the step when only the gradient's norm wasn't finite.
    """

    what: str
    value: str
    packs: tuple[int, ...]
    sample_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """One optimizer step over all ranks.

    `step` counts from 1. `loss` is the global batch's, before the update; `category_losses` those of the categories in
    it; `grad_norm` before clipping; both None where they aren't finite, and then `skipped` says why the step changed
    nothing. `packs` are the numbers of the first and the last pack, `samples` the sample uses in them, `quarantined`
    those left out as bad, `padding_share` how much of the packs' capacity is empty, `flops` the model's without
    recomputation, `skipped_steps` the skipped ones so far.

    `seconds` is wall clock with the wait for data, `wait_share` that wait's part of it on the slowest rank, `mfu` FLOPs
    per second over the GPUs' bf16 peak (None where unknown), `memory_bytes` the peak of a rank so far,
    `checkpoint_seconds` how long the checkpoint before this step kept training waiting.
    """

    step: int
    loss: float | None
    learning_rate: float
    tokens: int
    samples: int
    grad_norm: float | None
    packs: tuple[int, int]
    seconds: float = 0.0
    tiles: int = 0
    quarantined: int = 0
    padding_share: float = 0.0
    flops: float = 0.0
    category_losses: dict[str, float] = field(default_factory=dict)
    skipped: SkippedStep | None = None
    skipped_steps: int = 0
    wait_share: float = 0.0
    mfu: float | None = None
    memory_bytes: int = 0
    checkpoint_seconds: float = 0.0

    def rates(self) -> dict[str, float]:
        """Tokens, samples and tiles per second."""
        return {f"{name}_per_second": getattr(self, name) / max(self.seconds, 1e-9) for name in RATES}

    def to_json(self, *, times: bool = True) -> str:
        """One line; without times, steps that learn the same are the same line."""
        document = dataclasses.asdict(self)
        if times:
            return json.dumps(document | self.rates(), allow_nan=False)
        return json.dumps({k: v for k, v in document.items() if k not in OF_THIS_RUN}, allow_nan=False)


def read_steps(payload: bytes) -> list[StepMetrics]:
    """The steps of a metrics file."""
    return [_step(json.loads(line)) for line in payload.decode().splitlines()]


def _step(document: dict[str, Any]) -> StepMetrics:
    values = {name: value for name, value in document.items() if not name.endswith("_per_second")}
    if skipped := values.get("skipped"):
        lists = {name: tuple(skipped[name]) for name in ("packs", "sample_ids")}
        values["skipped"] = SkippedStep(**{**skipped, **lists})
    return StepMetrics(**{**values, "packs": tuple(values["packs"])})


class MetricsLog:
    """The steps so far. On a local disk each line also goes to OUT/metrics.jsonl at once, for whoever watches."""

    def __init__(self, out_uri: str, steps: Iterable[StepMetrics] = ()) -> None:
        self.steps = list(steps)
        self._path = None if is_s3(out_uri) else Path(join(out_uri, METRICS_NAME))
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(self.payload())

    def append(self, step: StepMetrics) -> None:
        """Record one step."""
        self.steps.append(step)
        if self._path is not None:
            with self._path.open("a") as stream:
                stream.write(step.to_json() + "\n")

    def payload(self, *, times: bool = True) -> bytes:
        """All steps as JSON lines."""
        return "".join(step.to_json(times=times) + "\n" for step in self.steps).encode()
