"""A trained stage in a few numbers, for the task's metrics in the KFP UI."""

from collections.abc import Sequence

from data.files import exists, join, read_bytes
from data.storage import Manifest, read_attachment
from model.training.metrics import METRICS_NAME, TAIL_SHARE, StepMetrics, read_steps


def training_metrics(stage: str, out_uri: str, done: Manifest) -> dict[str, float]:
    """`STAGE/final_loss`, `/tokens_per_second` ... of a finished stage, for `components.door.log_metrics`.

    Losses come from the committed steps, times from metrics.jsonl beside them, as long as it is there.
    """
    uri = join(out_uri, METRICS_NAME)
    steps = read_steps(read_bytes(uri) if exists(uri) else read_attachment(out_uri, done, "metrics"))
    return {f"{stage}/{name}": value for name, value in summarise(steps).items()}


def summarise(steps: Sequence[StepMetrics]) -> dict[str, float]:
    """Means over the stage: rates over its seconds, shares and MFU weighted by them; the final loss by category too."""
    tail = [step for step in steps[-max(1, round(TAIL_SHARE * len(steps))) :] if step.loss is not None]
    numbers: dict[str, float] = {"steps": len(steps), "skipped_steps": sum(step.skipped is not None for step in steps)}
    numbers["quarantined"] = sum(step.quarantined for step in steps)
    numbers |= {"final_loss": _mean([step.loss for step in tail if step.loss is not None])} if tail else {}
    for name in sorted({name for step in tail for name in step.category_losses}):
        losses = [step.category_losses[name] for step in tail if name in step.category_losses]
        numbers[f"final_loss/{name}"] = _mean(losses)
    numbers["padding_share"] = _mean([step.padding_share for step in steps])
    return numbers | (_speed(steps) if any(step.seconds for step in steps) else {})


def _speed(steps: Sequence[StepMetrics]) -> dict[str, float]:
    seconds = sum(step.seconds for step in steps)
    numbers = {
        f"{name}_per_second": sum(getattr(step, name) for step in steps) / seconds
        for name in ("tokens", "samples", "tiles")
    }
    numbers["wait_share"] = sum(step.wait_share * step.seconds for step in steps) / seconds
    known = [(step.mfu, step.seconds) for step in steps if step.mfu is not None]
    numbers |= {"mfu": sum(mfu * time for mfu, time in known) / sum(time for _, time in known)} if known else {}
    numbers["memory_gib"] = max(step.memory_bytes for step in steps) / 2**30
    numbers["checkpoint_seconds"] = sum(step.checkpoint_seconds for step in steps)
    return numbers


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
