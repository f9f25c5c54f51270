"""Training curves: the metrics file of each stage, read, smoothed and condensed."""

import json
from dataclasses import dataclass
from typing import Any

from data.errors import AerieError
from model.evaluation.run_folder import RunFolder
from model.training.metrics import TAIL_SHARE

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """One stage's optimizer steps, in order; each is a line of the metrics file. Skipped steps may have no loss."""

    stage: str
    lines: tuple[dict[str, Any], ...]

    def points(self, name: str) -> Points:
        """(step, value) of one column; steps that don't have it are left out."""
        return tuple((line["step"], line[name]) for line in self.lines if line.get(name) is not None)

    def final_category_losses(self) -> dict[str, float]:
        """Mean loss of each category over the last tenth of the steps, where it was in them."""
        losses: dict[str, list[float]] = {}
        for line in self.lines[-max(1, round(TAIL_SHARE * len(self.lines))) :]:
            for name, loss in line.get("category_losses", {}).items():
                losses.setdefault(name, []).append(loss)
        return {name: sum(found) / len(found) for name, found in losses.items()}

    def total(self, name: str) -> float | None:
        """The sum of a column over the stage, None when it isn't recorded."""
        values = [value for _, value in self.points(name)]
        return sum(values) if values else None

    @property
    def first_loss(self) -> float:
        """Mean loss of the first tenth of the steps."""
        return _mean(self.points("loss")[: self._tail])

    @property
    def final_loss(self) -> float:
        """Mean loss of the last tenth of the steps."""
        return _mean(self.points("loss")[-self._tail :])

    @property
    def _tail(self) -> int:
        return max(1, round(TAIL_SHARE * len(self.points("loss"))))


def read_curves(run: RunFolder, stage: str) -> Curves:
    """A stage's metrics (JSON lines with at least `step` and `loss`)."""
    text = run.attachment(stage, "metrics").decode()
    try:
        lines = tuple(json.loads(line) for line in text.splitlines() if line.strip())
        complete = all({"step", "loss"} <= set(line) for line in lines)
    except (ValueError, TypeError) as error:
        raise AerieError(f"metrics of {stage} in {run.folder(stage)} are damaged ({error}); train it again") from error
    if not lines or not complete or all(line["loss"] is None for line in lines):
        raise AerieError(f"metrics of {stage} in {run.folder(stage)} lack steps or losses; train it again")
    return Curves(stage, lines)


def smoothed(points: Points) -> Points:
    """A centred moving mean over about a twentieth of the points; short curves stay as they are."""
    reach = len(points) // 40
    if not reach:
        return points
    sums = [0.0]
    for _, value in points:
        sums.append(sums[-1] + value)
    windows = ((max(0, i - reach), min(len(points), i + reach + 1)) for i in range(len(points)))
    return tuple(
        (x, (sums[end] - sums[start]) / (end - start)) for (x, _), (start, end) in zip(points, windows, strict=True)
    )


def _mean(points: Points) -> float:
    return sum(value for _, value in points) / len(points)
