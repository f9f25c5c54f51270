"""The steps in Weights & Biases."""

import dataclasses
import os
from typing import Any

from data.files import is_s3
from model.training.metrics import METRICS_NAME, StepMetrics

NOT_CURVES = ("step", "packs", "skipped", "category_losses")


class WandbRun:
    """Sends the steps to Weights & Biases; without further ado offline, into OUT/wandb (it starts in half a second).

    With WANDB_API_KEY they go over the network. WANDB_MODE says otherwise: online, offline, or disabled.
    """

    def __init__(self, stage: str, recipe: str, out_uri: str, settings: dict[str, Any]) -> None:
        self._run: Any = None
        mode = os.environ.get("WANDB_MODE") or ("online" if os.environ.get("WANDB_API_KEY") else "offline")
        if mode == "disabled" or (mode == "offline" and is_s3(out_uri)):  # offline files would die with the machine
            return
        try:
            import wandb
        except ImportError:
            print(f"{stage}  wandb is not installed: metrics go to {METRICS_NAME} only", flush=True)
            return
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or "aerie",
                name=f"{recipe}-{stage}",
                dir=None if is_s3(out_uri) else out_uri,
                mode=mode,  # type: ignore[arg-type]
                config=settings,
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.errors.Error as error:  # no network, or a key that isn't valid: no reason not to train
            print(f"{stage}  W&B can't be reached ({error}): metrics go to {METRICS_NAME} only", flush=True)

    def log(self, step: StepMetrics) -> None:
        """Send one step."""
        if self._run is not None:
            self._run.log(curve_values(step), step=step.step)

    def close(self) -> None:
        """Finish the run; when this returns, an offline run's file is whole."""
        if self._run is None:
            return
        import wandb

        self._run.finish()
        wandb.teardown()  # finish() may answer before W&B's service has written its buffer; the service's end waits


def curve_values(step: StepMetrics) -> dict[str, float]:
    """A step's numbers by name, one a curve; those that it doesn't have are left out."""
    values = {name: value for name, value in dataclasses.asdict(step).items() if name not in NOT_CURVES}
    values |= step.rates() | {f"loss/{name}": value for name, value in step.category_losses.items()}
    return {name: value for name, value in values.items() if value is not None}
