"""A stage killed and resumed against one that never was, by the command that people type, on CPU or GPU.

    python tests/benchmarks/check_resume.py RUN --recipe FILE [--stage stage_2] [--processes 1 1] [--every 3] [--json]
        [--set precision=bf16 zero_stage=2 ...]

RUN is a folder of `aerie run`, up to packing. `torchrun -m model.training` trains the stage three times from fresh
weights: whole; killed with SIGKILL once a checkpoint of `--every` steps is complete and the next steps are under way;
that one resumed, on the second number of `--processes`. `--set` changes the stage in a copy of the recipe, whose global
batch becomes a multiple of both numbers. Compared are the packs of every step, which must be the same, and the losses:
equal bit by bit on a CPU with as many processes, else within 1e-3. A fourth training resumes that checkpoint without
AdamW's moments: the check would be worth nothing if that came out as close. Exit status 1: something didn't hold.
"""

# ruff: noqa: E402 (the path is set first)

import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save_file

from model.training.metrics import StepMetrics, read_steps

LIMIT = 1e-3
PATIENCE = 300.0  # seconds until the first checkpoint


def changed_recipe(source: Path, stage: str, changes: dict[str, Any], processes: Sequence[int], to: Path) -> Path:
    """The recipe with the stage changed, written to a folder."""
    document = yaml.safe_load(source.read_text())
    settings = document["stages"][stage] | changes
    ranks = math.lcm(*processes)
    settings["packs_per_step"] = -(-settings.get("packs_per_step", 1) // ranks) * ranks
    document["stages"][stage], document["processes"] = settings, 1
    path = to / "recipe.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def begun(options: argparse.Namespace, recipe: Path, out: Path, processes: int) -> subprocess.Popen[bytes]:
    """The stage's processes, in a group of their own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
               "-m", "model.training", options.stage, "--recipe", str(recipe),
               "--data", str(options.run.resolve() / "packing" / options.stage), "--out", str(out)]  # fmt: skip
    environment = os.environ | {"WANDB_MODE": "disabled", "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    log = (out.parent / f"{out.name}.log").open("ab")
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )


def steps(out: Path) -> list[StepMetrics]:
    """What the stage recorded."""
    path = out / "metrics.jsonl"
    return read_steps(path.read_bytes()) if path.exists() else []


def finished(process: subprocess.Popen[bytes], out: Path) -> list[StepMetrics]:
    """Wait for the end; the steps. Shows the log of a run that failed."""
    if process.wait() != 0:
        sys.exit(told(out))
    return steps(out)


def told(out: Path) -> str:
    """What a run said of its failure: torchrun's long report comes after it."""
    return (out.parent / f"{out.name}.log").read_text()[:3000]


def killed(process: subprocess.Popen[bytes], out: Path) -> int:
    """SIGKILL all processes a step after the first complete checkpoint; the number of steps that they made."""
    end = time.monotonic() + PATIENCE
    marked = 0
    while not marked or len(steps(out)) <= marked:
        complete = list(out.glob("checkpoints/*/complete.json"))
        marked = marked or (max(json.loads(path.read_text())["step"] for path in complete) if complete else 0)
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"not killed in time: {told(out)}")
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return len(steps(out))


def forgotten(source: Path, to: Path) -> None:
    """A copy of a killed run whose checkpoints lost AdamW's moments: all of them are zero."""
    shutil.copytree(source, to)
    for path in to.glob("checkpoints/*/*.safetensors"):
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it has no iterator)
        kept = {key: tensor if key.endswith("/master") else torch.zeros_like(tensor) for key, tensor in tensors.items()}
        save_file(kept, path, metadata)


def difference(whole: list[StepMetrics], other: list[StepMetrics]) -> float:
    """The largest relative difference of a step's loss."""
    return max((abs(a.loss - b.loss) / abs(a.loss) for a, b in zip(whole, other, strict=False)), default=math.inf)


def compared(
    whole: list[StepMetrics], resumed: list[StepMetrics], forgetful: list[StepMetrics], exact: bool
) -> dict[str, Any]:
    """Packs and losses side by side."""
    same = [step.packs for step in whole] == [step.packs for step in resumed]
    apart, control, limit = difference(whole, resumed), difference(whole, forgetful), 0.0 if exact else LIMIT
    return {"steps": len(whole), "losses": [whole[0].loss, whole[-1].loss], "same_packs": same,
            "largest_relative_difference_of_loss": apart, "limit": limit, "without_moments": control,
            "holds": same and apart <= limit and control > max(10 * apart, limit)}  # fmt: skip


def main() -> int:
    """Train three times and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--stage", default="stage_2")
    parser.add_argument("--processes", type=int, nargs=2, default=[1, 1], help="of the killed run, and of its resume")
    parser.add_argument("--every", type=int, default=3, help="steps between checkpoints")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the stage")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    changes = {key: yaml.safe_load(value) for key, value in (pair.split("=", 1) for pair in options.set)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        changes["checkpoint_every"] = options.every
        recipe = changed_recipe(options.recipe, options.stage, changes, options.processes, folder)
        before, after = options.processes
        whole = finished(begun(options, recipe, folder / "whole", before), folder / "whole")
        died = killed(begun(options, recipe, folder / "killed", before), folder / "killed")
        forgotten(folder / "killed", folder / "forgetful")
        resumed = finished(begun(options, recipe, folder / "killed", after), folder / "killed")
        forgetful = finished(begun(options, recipe, folder / "forgetful", after), folder / "forgetful")
    exact = before == after and not torch.cuda.is_available()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    found = {"device": device, "processes": options.processes, "set": options.set, "killed_after": died,
             **compared(whole, resumed, forgetful, exact)}  # fmt: skip
    print(json.dumps(found, indent=None if options.json else 1))
    return int(not found["holds"])


if __name__ == "__main__":
    sys.exit(main())
