"""What training says while it runs: one JSON line a step, a progress line every two seconds, W&B."""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.files import is_s3, join

METRICS_NAME, STEPS_NAME = "metrics.jsonl", "steps.jsonl"
SECONDS_BETWEEN_LINES = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """One optimizer step over all ranks.

    `step` counts from 1. `loss` is the global batch's, before the update; `grad_norm` before clipping. `packs` are the
    numbers of the first and the last pack, `samples` the sample uses in them, `seconds` wall clock.
    """

    step: int
    loss: float
    learning_rate: float
    tokens: int
    samples: int
    grad_norm: float
    seconds: float
    packs: tuple[int, int]

    def to_json(self, *, times: bool = True) -> str:
        """One line; without times, steps that learn the same are the same line."""
        document = dataclasses.asdict(self)
        return json.dumps(document if times else {k: v for k, v in document.items() if k != "seconds"})


def read_steps(payload: bytes) -> list[StepMetrics]:
    """The steps of a metrics file."""
    documents = [json.loads(line) for line in payload.decode().splitlines()]
    return [StepMetrics(**{**document, "packs": tuple(document["packs"])}) for document in documents]


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


class TrainingProgress:
    """Prints `stage_1  step 40/250  loss 0.8123  lr 9.8e-04  12,345 tokens/s  ETA 41 s`, at most every two seconds."""

    def __init__(self, label: str, steps: int, done: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.label, self.steps, self._clock = label, steps, clock
        self._first_step, self._start = done, clock()
        self._last, self._tokens, self._all_tokens = self._start, 0, 0

    def update(self, step: StepMetrics) -> None:
        """Count a step; print when the last line is old enough."""
        self._tokens += step.tokens
        self._all_tokens += step.tokens
        now = self._clock()
        if now - self._last >= SECONDS_BETWEEN_LINES and step.step < self.steps:
            eta = (now - self._start) / (step.step - self._first_step) * (self.steps - step.step)
            self._print(step, self._tokens / (now - self._last), f"ETA {eta:.0f} s")
            self._last, self._tokens = now, 0

    def close(self, step: StepMetrics) -> None:
        """Print the last line with the average rate."""
        seconds = max(self._clock() - self._start, 1e-9)
        self._print(step, self._all_tokens / seconds, f"{seconds:.1f} s")

    def _print(self, step: StepMetrics, rate: float, end: str) -> None:
        print(
            f"{self.label}  step {step.step}/{self.steps}  loss {step.loss:.4f}  lr {step.learning_rate:.1e}  "
            f"{rate:,.0f} tokens/s  {end}",
            flush=True,
        )


class WandbRun:
    """Sends the steps to Weights & Biases; without further ado offline, into OUT/wandb (it starts in half a second).

    WANDB_MODE=online (with a key) sends them over the network, WANDB_MODE=disabled leaves it out.
    """

    def __init__(self, stage: str, recipe: str, out_uri: str, settings: dict[str, Any]) -> None:
        self._run: Any = None
        mode = os.environ.get("WANDB_MODE", "offline")
        if mode == "disabled" or (mode == "offline" and is_s3(out_uri)):  # offline files would die with the machine
            return
        try:
            import wandb
        except ImportError:
            print(f"{stage}  wandb is not installed: metrics go to {METRICS_NAME} only", flush=True)
            return
        self._run = wandb.init(
            project="aerie",
            name=f"{recipe}-{stage}",
            dir=None if is_s3(out_uri) else out_uri,
            mode=mode,  # type: ignore[arg-type]
            config=settings,
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, step: StepMetrics) -> None:
        """Send one step."""
        if self._run is not None:
            values = {name: value for name, value in dataclasses.asdict(step).items() if name not in ("step", "packs")}
            self._run.log(values, step=step.step)

    def close(self) -> None:
        """Finish the run."""
        if self._run is not None:
            self._run.finish()
