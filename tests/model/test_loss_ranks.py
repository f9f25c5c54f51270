"""The loss of a global batch and its gradients: equal on one rank and on two, packed or not, in any micro-batches.

Run as a script this file is one rank of two: real processes that meet over gloo and train through DeepSpeed.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import ModelSettings
from model.inputs.batch import IGNORE_INDEX, EncodedSample
from model.inputs.merge import merge
from model.loss import token_weights
from model.recipe import StageSettings
from model.training.engine import TrainingEngine, join_processes
from model.training.freezing import freeze
from model.vlm import PackTensors, build_model

ROOT = Path(__file__).resolve().parents[2]
IMAGE_ID, SIDE, REDUCTIONS = 90, 32, ("sqrt", "token", "sample")
SETTINGS = ModelSettings(
    tiling={"tile_size": SIDE, "max_tiles": 2},
    siglip={"hidden_size": 16, "intermediate_size": 32, "num_layers": 1, "num_heads": 2, "patch_size": 8},
    convnext={"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 24), "image_size": 64},
    language={"hidden_size": 32, "intermediate_size": 64, "num_layers": 1, "num_heads": 4, "num_kv_heads": 2},
    initialisation="fan_in",
)
# (tokens of text, answer tokens, tiles) of a global batch: very unlike lengths, texts alone, a sample without answer.
BATCH = [(40, 30, 1), (9, 1, 0), (14, 5, 2), (20, 0, 1), (25, 16, 0), (12, 2, 0), (8, 3, 0), (30, 9, 0)]
# Packs of each rank in order. In TWO_RANKS the second rank has texts alone, the first has images in every pack.
ONE_PACK = [[[0, 1, 2, 3, 4, 5, 6, 7]]]
PAIRS = [[[0, 1], [2, 3], [4, 5], [6, 7]]]
UNPACKED = [[[number] for number in range(8)]]
TWO_RANKS = [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
TWO_RANKS_MIXED = [[[7, 0, 2]], [[1, 3, 4, 5, 6]]]


def sample(number: int) -> EncodedSample:
    text, answers, tiles = BATCH[number]
    rng = np.random.default_rng(number)
    words = rng.integers(0, IMAGE_ID, text)
    ids = np.concatenate([words[:2], np.full(tiles * SETTINGS.tokens_per_tile, IMAGE_ID), words[2:]]).astype(np.int64)
    labels = np.where(np.arange(len(ids)) >= len(ids) - answers, ids, IGNORE_INDEX)
    pixels = rng.integers(0, 256, (tiles, SIDE, SIDE, 3), dtype=np.uint8)
    return EncodedSample(sample_id=f"s{number}", source="made", category="", input_ids=ids, labels=labels, tiles=pixels)


def step(ranks: list[list[list[int]]], reduction: str, device: torch.device, zero: int = 0):
    """(loss, norm, gradients by name) of one step on this rank's packs; ZeRO's own gradients lie scattered."""
    packs_per_step = sum(len(packs) for packs in ranks)
    settings = StageSettings(
        learning_rate=1e-3, packs_per_step=packs_per_step, precision="fp32", zero_stage=zero, loss_reduction=reduction
    )
    model = build_model(SETTINGS, 96, IMAGE_ID, seed=3)
    freeze(model, settings.trainable)
    engine = TrainingEngine(model, settings, device)
    packs = []
    for members in ranks[engine.rank]:
        batch = merge([sample(number) for number in members])
        weights, share = token_weights(batch.labels, batch.cu_seqlens, reduction)
        packs.append((PackTensors.of(batch), torch.from_numpy(weights), share))
    [total] = engine.sum([sum(share for *_, share in packs)])
    loss = 0.0
    for number, (pack, weights, _) in enumerate(packs):
        loss += float(engine.gradients(pack, weights, total, last=number == len(packs) - 1))
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()} if zero == 0 else {}
    return engine.sum([loss])[0] / total, engine.step(0.0), gradients


CASES = [(spread, reduction, 0) for spread in ("TWO_RANKS", "TWO_RANKS_MIXED") for reduction in REDUCTIONS]
CASES += [("TWO_RANKS", "sqrt", zero) for zero in (1, 2, 3)]


def rank_main(out: str) -> None:
    device = join_processes()
    results = {case: step(globals()[case[0]], case[1], device, case[2]) for case in CASES}
    if os.environ["RANK"] == "0":
        torch.save(results, out)
    torch.distributed.barrier()
    os._exit(0)  # DeepSpeed's exit handlers would wait for each other


@pytest.fixture(scope="module")
def on_two_ranks(tmp_path_factory):
    """Results of `CASES` by two processes."""
    out = tmp_path_factory.mktemp("ranks") / "results.pt"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(out)],
            env={**os.environ, **common, "PYTHONPATH": str(ROOT), "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    errors = [process.communicate(timeout=200)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    return torch.load(out)


@pytest.fixture(scope="module")
def reference(alone):
    """Loss, norm and gradients of one pack of everything on one rank, by rule."""
    return {reduction: step(ONE_PACK, reduction, alone) for reduction in REDUCTIONS}


def same(result, expected):
    loss, norm, gradients = result
    assert loss == pytest.approx(expected[0], rel=1e-5)
    assert norm == pytest.approx(expected[1], rel=1e-4)
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, expected[2][name], atol=1e-5), name


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("spread", [PAIRS, UNPACKED], ids=["pairs", "unpacked"])
def test_micro_batches_do_not_change_loss_and_gradients(alone, reference, spread, reduction):
    result = step(spread, reduction, alone)
    assert len(result[2]) == len(reference[reduction][2]) > 40
    same(result, reference[reduction])


@pytest.mark.parametrize(("spread", "reduction", "zero"), CASES)
def test_two_ranks_have_the_loss_and_gradients_of_one(on_two_ranks, reference, spread, reduction, zero):
    same(on_two_ranks[spread, reduction, zero], reference[reduction])


def test_the_rules_differ_on_this_batch(reference):
    losses = [reference[reduction][0] for reduction in REDUCTIONS]
    assert len({round(loss, 3) for loss in losses}) == 3


if __name__ == "__main__":
    rank_main(sys.argv[1])
