"""What a checkpoint costs: seconds for which training stands still and until it is complete, beside DeepSpeed's own.

    python tests/benchmarks/bench_checkpoint.py --preset eagle2-1b --json
    torchrun --nproc-per-node 2 tests/benchmarks/bench_checkpoint.py --preset eagle2-9b --zero-stage 3 --json

Random weights at the preset's geometry (`--layers` cuts language model and SigLIP), small synthetic packs. One process
or as many as torchrun starts, on GPUs or the CPU. `first` is the first save, after two steps, in which memory for the
copies was made ready in the background; `second` uses it again. `blocked` is how long `save` held the loop,
`written` until the marker was there; `step` and `step_while_writing` are optimizer steps without and during a write.
`deepspeed` is `save_checkpoint` of the same engine, which blocks throughout. `ratio` is its seconds over the second
save's blocked ones. Our files are synced to the disk, DeepSpeed's are not. At the end the checkpoint is read back into
the engine (`load`), `restored` says that the masters are again what they were when it was saved.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from data.files import join
from data.folders import files_below
from model.config import ModelSettings
from model.inputs.batch import IGNORE_INDEX, EncodedSample
from model.inputs.merge import merge
from model.loss import token_weights
from model.presets import PRESETS, preset
from model.recipe import StageSettings
from model.training.checkpoints.checkpointing import Checkpoints, SaveReport
from model.training.engine import TrainingEngine, join_processes
from model.training.freezing import freeze
from model.vlm import PackTensors, VisionLanguageModel, build_model

TEXT, ANSWER, IMAGE_ID, STEPS = 64, 16, 7, 4


def cut(settings: ModelSettings, layers: int | None) -> ModelSettings:
    """The preset with at most so many layers in the language model and in SigLIP."""
    if layers is None:
        return settings
    parts = {
        name: part.model_copy(update={"num_layers": min(layers, part.num_layers)})
        for name, part in (("language", settings.language), ("siglip", settings.siglip))
    }
    return settings.model_copy(update=parts)


def network(settings: ModelSettings, device: torch.device) -> VisionLanguageModel:
    """Fresh weights, made where they are used: a CPU would take minutes for billions."""
    rows = settings.language.rows(1024)
    with torch.device(device):
        return build_model(settings, rows, IMAGE_ID, seed=0)


def synthetic_pack(settings: ModelSettings, device: torch.device) -> tuple[PackTensors, torch.Tensor, float]:
    """One sample of one tile and a short text."""
    rng, side = np.random.default_rng(0), settings.tiling.tile_size
    ids = np.concatenate([np.full(settings.tokens_per_tile, IMAGE_ID), rng.integers(8, 1000, TEXT)]).astype(np.int64)
    labels = np.where(np.arange(len(ids)) >= len(ids) - ANSWER, ids, IGNORE_INDEX)
    tiles = rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    batch = merge(
        [EncodedSample(sample_id="made", source="made", category="", input_ids=ids, labels=labels, tiles=tiles)]
    )
    weights, denominator = token_weights(batch.labels, batch.cu_seqlens, "sqrt")
    return PackTensors.of(batch, device), torch.from_numpy(weights).to(device), denominator


def seconds(engine: TrainingEngine, work: Callable[[], object]) -> float:
    """Wall clock of something that all ranks do."""
    settle(engine)
    start = time.monotonic()
    work()
    settle(engine)
    return time.monotonic() - start


def settle(engine: TrainingEngine) -> None:
    """All ranks are here and their devices idle."""
    if engine.device.type == "cuda":
        torch.cuda.synchronize()
    engine.barrier()


def masters(engine: TrainingEngine) -> list[float]:
    """Sums of this rank's master weights."""
    return [float(fragment.master.double().sum()) for fragment in engine.state.held()]


def measure(engine: TrainingEngine, step: Callable[[], object], folder: str, *, theirs: bool) -> dict[str, Any]:
    """Two saves of ours with steps in between, one load, and one save of DeepSpeed's if that is wanted."""
    checkpoints = Checkpoints(join(folder, "ours"), "bench", keep=1, label="bench")
    checkpoints.prepare(engine)
    first_step = seconds(engine, step)
    quiet = seconds(engine, step)
    saves: dict[str, SaveReport] = {}
    busy: list[float] = []
    for number, name in enumerate(("first", "second"), start=1):
        settle(engine)
        before = masters(engine)
        checkpoints.save(engine, step=number, next_pack=0, metrics=b"")
        busy = [seconds(engine, step) for _ in range(STEPS)]
        report = checkpoints.wait(engine)
        assert report is not None
        saves[name] = report
        if engine.rank == 0:
            print(f"{name}: {report}", file=sys.stderr, flush=True)
    marker = checkpoints.latest(quiet=True)
    assert marker is not None
    load = seconds(engine, lambda: checkpoints.load(engine, marker))
    restored = masters(engine) == before
    checkpoints.close()
    settle(engine)
    if engine.rank == 0:
        shutil.rmtree(join(folder, "ours"))
    engine.barrier()
    return {
        "step": quiet,
        "first_step": first_step,
        "step_while_writing": busy[0],
        **{f"{name}_blocked": report.blocked_seconds for name, report in saves.items()},
        **{f"{name}_written": report.written_seconds for name, report in saves.items()},
        "gib": saves["second"].nbytes / 2**30,
        "load": load,
        "restored": bool(engine.sum([float(restored)])[0] == engine.world),
        **(deepspeeds(engine, join(folder, "deepspeed"), saves["second"].blocked_seconds) if theirs else {}),
    }


def deepspeeds(engine: TrainingEngine, folder: str, blocked: float) -> dict[str, float]:
    """One save of DeepSpeed's, over `blocked` seconds of ours."""
    taken = seconds(engine, lambda: engine._engine.save_checkpoint(folder, tag="bench", save_latest=False))
    nbytes = sum(Path(folder, name).stat().st_size for name in files_below(folder))
    return {"deepspeed": taken, "deepspeed_gib": nbytes / 2**30, "ratio": taken / blocked}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--layers", type=int, help="cut language model and SigLIP to so many layers")
    parser.add_argument("--zero-stage", type=int, choices=(0, 1, 2, 3), default=1)
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="bf16 on a GPU, else fp32")
    parser.add_argument("--folder", help="where to write, on one host; a temporary folder otherwise")
    parser.add_argument("--ours-only", action="store_true", help="no save of DeepSpeed's: it needs as much disk again")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29577"}
    os.environ.update({name: os.environ.get(name, value) for name, value in alone.items()})
    device = join_processes()
    settings = cut(preset(given.preset), given.layers)
    stage = StageSettings(
        learning_rate=1e-5,
        packs_per_step=int(os.environ["WORLD_SIZE"]),
        zero_stage=given.zero_stage,
        precision=given.precision or ("bf16" if device.type == "cuda" else "fp32"),
        activation_checkpointing=True,
    )
    model = network(settings, device)
    parameters = sum(model.parameter_counts().values())
    freeze(model, stage.trainable)
    engine = TrainingEngine(model, stage, device)
    pack, weights, denominator = synthetic_pack(settings, device)

    def step() -> None:
        engine.gradients(pack, weights, denominator * engine.world, last=True)
        engine.step(1e-5)

    folder = Path(given.folder or tempfile.gettempdir(), f"aerie-bench-checkpoint-{os.environ['MASTER_PORT']}")
    try:
        measured = measure(engine, step, str(folder), theirs=not given.ours_only)
    finally:
        if engine.rank == 0:
            shutil.rmtree(folder, ignore_errors=True)
    if engine.rank == 0:
        name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
        result = {"preset": given.preset, "layers": given.layers, "parameters": parameters, "device": name}
        result |= {"world": engine.world, "zero_stage": stage.zero_stage, "precision": stage.precision, **measured}
        lines = [
            f"{key:20} {value:.3f}" if isinstance(value, float) else f"{key:20} {value}"
            for key, value in result.items()
        ]
        print(json.dumps(result) if given.json else "\n".join(lines), flush=True)
    engine.barrier()
    os._exit(0)  # DeepSpeed's exit handlers would wait for each other


if __name__ == "__main__":
    main()
