"""A checkpoint is one for any number of processes and any ZeRO stage: what one wrote, another goes on from.

Run as a script this file is one rank of two: real processes that meet over gloo and train through DeepSpeed.
"""

import gc
import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from two_ranks import run_two_ranks

from model.config import ModelSettings
from model.inputs.batch import IGNORE_INDEX, EncodedSample
from model.inputs.merge import merge
from model.loss import token_weights
from model.recipe import StageSettings
from model.training.checkpoints.checkpointing import Checkpoints
from model.training.checkpoints.fragments import KINDS
from model.training.engine import TrainingEngine, join_processes
from model.training.freezing import freeze
from model.vlm import PackTensors, build_model

ROOT = Path(__file__).resolve().parents[2]
IMAGE_ID, SIDE, BEFORE, AFTER = 90, 32, 1, 2  # optimizer steps before and after the checkpoint
SETTINGS = ModelSettings(
    tiling={"tile_size": SIDE, "max_tiles": 2},
    siglip={"hidden_size": 16, "intermediate_size": 32, "num_layers": 1, "num_heads": 2, "patch_size": 8},
    language={"hidden_size": 30, "intermediate_size": 50, "num_layers": 1, "num_heads": 3, "num_kv_heads": 1},
    initialisation="fan_in",
)
CASES = [(zero, precision) for precision in ("fp32", "bf16") for zero in (0, 1, 2, 3)]
CONNECTOR_ONLY = (1, "fp32")  # in this case the other parts are frozen


def pack(number: int) -> tuple[PackTensors, torch.Tensor, float]:
    generator = torch.Generator().manual_seed(number)
    tiles = number % 2
    words = torch.randint(0, IMAGE_ID, (20 + number,), generator=generator).numpy()
    ids = torch.cat([torch.full((tiles * SETTINGS.tokens_per_tile,), IMAGE_ID), torch.from_numpy(words)]).numpy()
    labels = ids.copy()
    labels[:-8] = IGNORE_INDEX
    pixels = torch.randint(0, 256, (tiles, SIDE, SIDE, 3), dtype=torch.uint8, generator=generator).numpy()
    sample = EncodedSample(
        sample_id=f"s{number}", source="made", category="", input_ids=ids, labels=labels, tiles=pixels
    )
    batch = merge([sample])
    weights, share = token_weights(batch.labels, batch.cu_seqlens, "sqrt")
    return PackTensors.of(batch), torch.from_numpy(weights), share


def fresh(case: tuple[int, str], device: torch.device) -> TrainingEngine:
    zero, precision = case
    trainable = ("connector",) if case == CONNECTOR_ONLY else ("connector", "vision", "language")
    settings = StageSettings(
        learning_rate=1e-2, packs_per_step=2, precision=precision, zero_stage=zero, trainable=trainable
    )
    model = build_model(SETTINGS, 97, IMAGE_ID, seed=3)
    freeze(model, trainable)
    return TrainingEngine(model, settings, device)


def train(engine: TrainingEngine, first: int, count: int) -> list[float]:
    """The losses of steps of two packs, each rank its share."""
    losses = []
    for step in range(first, first + count):
        packs = [pack(2 * step + number) for number in range(2)][engine.rank :: engine.world]
        [total] = engine.sum([sum(share for *_, share in packs)])
        parts = [
            float(engine.gradients(tensors, weights, total, last=number == len(packs) - 1))
            for number, (tensors, weights, _) in enumerate(packs)
        ]
        losses.append(engine.sum([sum(parts)])[0] / total)
        engine.step(1e-2)
    return losses


def save(engine: TrainingEngine, folder: str) -> None:
    checkpoints = Checkpoints(folder, "mine", keep=2, label="test")
    checkpoints.save(engine, step=BEFORE, next_pack=2 * BEFORE, metrics=b"")
    checkpoints.wait(engine)
    checkpoints.close()


def load(engine: TrainingEngine, folder: str) -> None:
    checkpoints = Checkpoints(folder, "mine", keep=2, label="test")
    checkpoints.load(engine, checkpoints.latest())


def place(folder: Path, case: tuple[int, str]) -> str:
    return str(folder / f"{case[1]}-{case[0]}")


def other(case: tuple[int, str]) -> tuple[int, str]:
    """Another stage of the same precision; the frozen case has no other."""
    return case if case == CONNECTOR_ONLY else ({0: 2, 2: 3, 3: 0}.get(case[0], 1), case[1])


def rank_main(folder: Path) -> None:
    """For each case: go on from what one process wrote at another stage; write; go on from that."""
    device, results = join_processes(), {}
    torch.use_deterministic_algorithms(True)
    gc.freeze()  # DeepSpeed collects garbage a dozen times for each engine, over all that is imported
    for case in CASES:
        engine = fresh(case, device)
        load(engine, place(folder / "one", other(case)))
        grown = train(engine, BEFORE, AFTER)
        engine = fresh(case, device)
        begun = train(engine, 0, BEFORE)
        save(engine, place(folder / "two", case))
        whole = train(engine, BEFORE, AFTER)
        weights = engine.weights()
        engine = fresh(case, device)
        load(engine, place(folder / "two", case))
        resumed = train(engine, BEFORE, AFTER)
        again = engine.weights()
        equal = all(torch.equal(weights[name], again[name]) for name in weights)
        results[case] = {"grown": grown, "begun": begun, "whole": whole, "resumed": resumed, "equal": equal}
    if os.environ["RANK"] == "0":
        torch.save(results, folder / "results.pt")
    torch.distributed.barrier()
    os._exit(0)  # DeepSpeed's exit handlers would wait for each other


@pytest.fixture(scope="module")
def one(alone, tmp_path_factory):
    """Runs of one process: the folder of their checkpoints and, by case, the losses after them."""
    folder, losses = tmp_path_factory.mktemp("reshard"), {}
    torch.use_deterministic_algorithms(True)
    gc.freeze()
    for case in CASES:
        engine = fresh(case, alone)
        begun = train(engine, 0, BEFORE)
        save(engine, place(folder / "one", case))
        losses[case] = begun, train(engine, BEFORE, AFTER)
    yield folder, losses
    gc.unfreeze()
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def two(one):
    """What two processes saw that went on from `one`, and wrote checkpoints themselves."""
    folder, _ = one
    run_two_ranks(__file__, folder)
    return torch.load(folder / "results.pt")


def same(losses: list[float], expected: list[float], precision: str) -> None:
    """bf16's roundings depend on who adds what up: after the first update only the course is the same."""
    assert losses[0] == pytest.approx(expected[0], rel=1e-5 if precision == "fp32" else 0.01)
    assert losses == pytest.approx(expected, rel=1e-5 if precision == "fp32" else 0.05)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_go_on_from_a_checkpoint_of_one_at_another_stage(one, two, case):
    same(two[case]["grown"], one[1][other(case)][1], case[1])


@pytest.mark.parametrize("case", CASES)
def test_as_many_processes_go_on_bit_for_bit(two, case):
    assert two[case]["resumed"] == two[case]["whole"]
    assert two[case]["equal"]
    assert two[case]["whole"][-1] < two[case]["begun"][0]


@pytest.mark.parametrize("case", CASES)
def test_one_process_goes_on_from_a_checkpoint_of_two_at_another_stage(one, two, alone, case):
    folder, engine = place(one[0] / "two", other(case)), fresh(case, alone)
    load(engine, folder)
    saved = stored(Path(folder, f"step-{BEFORE:06d}-mine"))
    for fragment in engine.state.held():
        for kind in KINDS:
            value = saved[fragment.name, kind]
            assert torch.equal(getattr(fragment, kind), value), fragment.name
        # DeepSpeed makes the optimizer of stage 0 in bf16 take a step without gradients at its start.
        assert float(fragment.step) == BEFORE + (other(case) == (0, "bf16"))
    assert {fragment.name for fragment in engine.state.held()} == {name for name, _ in saved}
    counts = {"global_steps": BEFORE, "global_samples": 2 * BEFORE, "skipped_steps": 0, "packs": 2 * BEFORE}
    assert engine.state.counters() == counts
    same(train(engine, BEFORE, AFTER), two[other(case)]["whole"], case[1])


def stored(folder: Path) -> dict[tuple[str, str], torch.Tensor]:
    """All of a checkpoint's tensors put together, by parameter and kind."""
    parts: dict[tuple[str, str], list[tuple[int, torch.Tensor]]] = {}
    for path in folder.glob("*.safetensors"):
        for key, tensor in load_file(path).items():
            name, rest = key.split("@")
            start, kind = rest.split("/")
            parts.setdefault((name, kind), []).append((int(start), tensor))
    return {key: torch.cat([tensor for _, tensor in sorted(found)]) for key, found in parts.items()}


def test_training_goes_on_while_a_slow_store_takes_a_checkpoint(alone, s3_uri, faulty):
    engine = fresh((1, "fp32"), alone)
    train(engine, 0, 1)
    kept = [fragment.master.clone() for fragment in engine.state.held()]
    faulty.reset(script=["silent"] * 3, methods=["PUT"])
    checkpoints = Checkpoints(s3_uri, "mine", keep=2, label="test")
    checkpoints.save(engine, step=1, next_pack=2, metrics=b"m")
    train(engine, 1, 1)
    assert checkpoints.latest(quiet=True) is None
    assert checkpoints.poll() is None
    report = checkpoints.wait(engine)
    assert report.nbytes == 12 * sum(engine.state.parameters().values())
    assert checkpoints.poll() is None
    marker = checkpoints.latest()
    assert checkpoints.metrics(marker) == b"m"
    checkpoints.load(engine, marker)
    assert all(map(torch.equal, kept, (fragment.master for fragment in engine.state.held())))
    checkpoints.close()


if __name__ == "__main__":
    rank_main(Path(sys.argv[1]))
