"""The lines that a terminal shows while a stage trains."""

import time
from collections.abc import Callable

from model.training.metrics import StepMetrics

SECONDS_BETWEEN_LINES = 2.0
WAIT_WORTH_SAYING = 0.02  # share of the time; issue 6 wants less


class TrainingProgress:
    """Prints, at most every two seconds,
    `stage_1  step 40/250  loss 0.8123  lr 9.8e-04  12,345 tokens/s  6.1 samples/s  ETA 41 s`.

    In front of the ETA come `MFU 0.52` where the GPU's peak is known, and `waits 5% for data` where that is much.
    """

    def __init__(self, label: str, steps: int, done: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self.label, self.steps, self._clock = label, steps, clock
        self._first_step, self._start = done, clock()
        self._last = self._start
        self._tokens, self._samples, self._all_tokens, self._all_samples = 0, 0, 0, 0

    def update(self, step: StepMetrics) -> None:
        """Count a step; print when the last line is old enough."""
        self._tokens, self._samples = self._tokens + step.tokens, self._samples + step.samples
        self._all_tokens, self._all_samples = self._all_tokens + step.tokens, self._all_samples + step.samples
        now = self._clock()
        if now - self._last >= SECONDS_BETWEEN_LINES and step.step < self.steps:
            self._print(step, self._tokens, self._samples, now - self._last, f"ETA {self.remaining(step.step):.0f} s")
            self._last, self._tokens, self._samples = now, 0, 0

    def remaining(self, step: int) -> float:
        """Seconds until the last step, from the pace since this process began."""
        return (self._clock() - self._start) / max(step - self._first_step, 1) * (self.steps - step)

    def close(self, step: StepMetrics) -> None:
        """Print the last line with the average rates."""
        seconds = max(self._clock() - self._start, 1e-9)
        self._print(step, self._all_tokens, self._all_samples, seconds, f"{seconds:.1f} s")

    def _print(self, step: StepMetrics, tokens: int, samples: int, seconds: float, end: str) -> None:
        loss = "not finite" if step.loss is None else f"{step.loss:.4f}"
        parts = [
            f"{self.label}  step {step.step}/{self.steps}  loss {loss}  lr {step.learning_rate:.1e}",
            f"{tokens / seconds:,.0f} tokens/s  {samples / seconds:,.1f} samples/s",
        ]
        parts += [f"MFU {step.mfu:.2f}"] if step.mfu is not None else []
        parts += [f"waits {step.wait_share:.0%} for data"] if step.wait_share > WAIT_WORTH_SAYING else []
        print("  ".join([*parts, end]), flush=True)
