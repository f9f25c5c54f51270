"""A checkpoint is one for any number of processes and any ZeRO stage: what one wrote, another goes on from.

Run as a script this file is one rank of two: real processes that meet over gloo and train through DeepSpeed.
"""

import gc
import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from data.errors import AerieError
from model.config import ModelSettings
from model.inputs.batch import IGNORE_INDEX, EncodedSample
from model.inputs.merge import merge
from model.loss import token_weights
from model.recipe import StageSettings
from model.training.checkpointing import Checkpoints
from model.training.engine import TrainingEngine, join_processes
from model.training.fragments import KINDS, Fragment
from model.training.freezing import freeze
from model.training.resharding import fill
from model.training.snapshot import Snapshot
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder)],
            env={**os.environ, **common, "PYTHONPATH": str(ROOT), "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    errors = [process.communicate(timeout=200)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
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


def state(sizes: dict[str, int], cuts: dict[str, list[int]], value: float | None) -> list[Fragment]:
    """Fragments of made-up parameters, cut at some places; random numbers, or all of one value."""
    found, generator = [], torch.Generator().manual_seed(1)
    for name, size in sizes.items():
        whole = {kind: torch.rand(size, generator=generator) for kind in KINDS}
        if value is not None:
            whole = {kind: torch.full((size,), value) for kind in KINDS}
        edges = [0, *cuts.get(name, []), size]
        for start, end in itertools.pairwise(edges):
            tensors = {kind: tensor[start:end] for kind, tensor in whole.items()}
            found.append(Fragment(name=name, start=start, step=torch.tensor(7.0 if value is None else 0.0), **tensors))
    return found


def written(folder: Path, fragments: list[Fragment], file_elements: int):
    snapshot = Snapshot(fragments, 0, file_elements=file_elements)
    pieces = snapshot.take(fragments)
    for file in snapshot.files:
        snapshot.write(file, str(folder / file), "a1", pieces)
    return snapshot, pieces


SIZES = {"a": 1000, "b": 1, "c": 77}


@pytest.mark.parametrize("file_elements", [30, 100, 10_000])
def test_fragments_of_any_cut_are_read_from_files_of_any_size(tmp_path, file_elements):
    source = state(SIZES, {"a": [999], "c": [10, 20]}, None)
    snapshot, pieces = written(tmp_path, source, file_elements)
    assert snapshot.nbytes == 12 * sum(SIZES.values())
    assert sum(piece.numel for piece in pieces) == sum(SIZES.values())
    target = state(SIZES, {"a": [1, 500, 501], "c": [15]}, 0.0)
    fill(str(tmp_path), "a1", target, pieces)
    for name in SIZES:
        for kind in KINDS:
            ours, theirs = (torch.cat([getattr(f, kind) for f in fs if f.name == name]) for fs in (target, source))
            assert torch.equal(ours, theirs)
    assert {float(fragment.step) for fragment in target} == {7.0}


def test_only_files_that_hold_something_of_a_rank_are_read(tmp_path):
    snapshot, pieces = written(tmp_path, state(SIZES, {}, None), 300)
    _, *others = snapshot.files
    assert len(others) > 2
    for file in others:
        (tmp_path / file).unlink()
    mine = state({"a": 100}, {}, 0.0)
    fill(str(tmp_path), "a1", mine, pieces)
    assert bool(mine[0].master.all())


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder, path: path.unlink(), "file not found: .*rank-00000-000.safetensors.*remove"),
        (lambda folder, path: path.write_bytes(path.read_bytes()[:-1]), "not a whole safetensors file"),
        (lambda folder, path: path.write_bytes(b""), "not a whole safetensors file"),
    ],
    ids=["missing", "torn", "empty"],
)
def test_harm_to_a_file_is_named(tmp_path, harm, message):
    _, pieces = written(tmp_path, state(SIZES, {}, None), 10_000)
    harm(tmp_path, tmp_path / "rank-00000-000.safetensors")
    with pytest.raises(AerieError, match=message):
        fill(str(tmp_path), "a1", state(SIZES, {}, 0.0), pieces)


def test_another_attempts_file_and_a_gap_are_named(tmp_path):
    _, pieces = written(tmp_path, state(SIZES, {}, None), 300)
    with pytest.raises(AerieError, match="written over by another run"):
        fill(str(tmp_path), "a2", state(SIZES, {}, 0.0), pieces)
    with pytest.raises(AerieError, match="lacks element 100 of a"):
        fill(str(tmp_path), "a1", state(SIZES, {}, 0.0), [pieces[0], *pieces[2:]])


if __name__ == "__main__":
    rank_main(Path(sys.argv[1]))
