"""The loss of a global batch and its gradients: equal on one rank and on two, packed or not, in any micro-batches.

Run as a script this file is one rank of two: real processes that meet over gloo and train through DeepSpeed.
"""

import math
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from two_ranks import run_two_ranks

from model.config import ModelSettings
from model.inputs.batch import IGNORE_INDEX, EncodedSample
from model.inputs.merge import merge
from model.loss import token_weights
from model.pack_tensors import PackTensors
from model.recipe import StageSettings
from model.training.collectives import sum_of_ranks
from model.training.engine import TrainingEngine, join_processes
from model.training.feeding.feed import WeightedPack
from model.training.freezing import freeze
from model.training.skipping import find_culprits
from model.training.step_numbers import StepCounter, StepNumbers
from model.training.step_numbers import merge as merge_numbers
from model.vlm import build_model

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
    names = {"sample_id": f"s{number}", "source": "made", "category": category(number)}
    return EncodedSample(**names, input_ids=ids, labels=labels, tiles=pixels)


def category(number: int) -> str:
    """One of the paper's, or one that only a user's own data has, which counts as `other`."""
    return "chart_table" if number % 3 else "a user's"


def engine_and_packs(
    ranks: list[list[list[int]]], reduction: str, device: torch.device, zero: int
) -> tuple[TrainingEngine, list[WeightedPack]]:
    """A fresh network's engine and this rank's packs."""
    packs_per_step = sum(len(packs) for packs in ranks)
    settings = StageSettings(
        learning_rate=1e-3, packs_per_step=packs_per_step, precision="fp32", zero_stage=zero, loss_reduction=reduction
    )
    model = build_model(SETTINGS, 96, IMAGE_ID, seed=3)
    freeze(model, settings.trainable)
    engine, packs = TrainingEngine(model, settings, device), []
    for members in ranks[engine.rank]:
        batch = merge([sample(number) for number in members])
        weights, share = token_weights(batch.labels, batch.cu_seqlens, reduction)
        packs.append(WeightedPack(batch, torch.from_numpy(weights), share, True, PackTensors.of(batch)))
    return engine, packs


def step(ranks: list[list[list[int]]], reduction: str, device: torch.device, zero: int = 0):
    """(loss, norm, gradients by name) of one step on this rank's packs; ZeRO's own gradients lie scattered."""
    engine, packs = engine_and_packs(ranks, reduction, device, zero)
    [total] = engine.sum([sum(pack.denominator for pack in packs)])
    loss = 0.0
    for number, pack in enumerate(packs):
        loss += float(engine.gradients(pack.tensors, pack.weights, total, last=number == len(packs) - 1))
    named = engine._engine.module.named_parameters()
    gradients = {name: p.grad.clone() for name, p in named} if zero == 0 else {}
    return engine.sum([loss])[0] / total, engine.step(0.0), gradients


CASES = [(spread, reduction, 0) for spread in ("TWO_RANKS", "TWO_RANKS_MIXED") for reduction in REDUCTIONS]
CASES += [("TWO_RANKS", "sqrt", zero) for zero in (1, 2, 3)]
MIXED_ZERO = (1, 3)


class Recorder(TorchDispatchMode):
    """Notes every collective that this process issues, at c10d's own operators, below all of DeepSpeed's wrappers."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.namespace == "c10d":
            tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
            self.calls.append((str(function), [(tuple(leaf.shape), str(leaf.dtype)) for leaf in tensors]))
        return function(*args, **(kwargs or {}))


def mixed(ranks: list[list[list[int]]], device: torch.device, zero: int) -> tuple:
    """The collectives that this rank issues in two whole steps as the loop makes them; then (norm, what was said, True
    if the weights stayed) of a third, in whose last pack rank 1 alone has a NaN.
    """
    engine, packs = engine_and_packs(ranks, "sqrt", device, zero)
    with Recorder() as recorder:
        for _ in range(2):
            counter = StepCounter(device, lambda _: 1.0)
            total = sum_of_ranks(sum(pack.denominator for pack in packs), device)
            for number, pack in enumerate(packs):
                loss = engine.gradients(pack.tensors, pack.weights, total, last=number == len(packs) - 1)
                counter.add(pack, loss, engine.sample_losses)
            gathered = counter.gather(wait_seconds=0.0, quarantined=0, stopping=False)
            engine.step(1e-3)
            merge_numbers(gathered.read())
    before = {name: value.clone() for name, value in engine.weights().items()}
    factors = [1.0] * (len(packs) - 1) + [math.nan if engine.rank == 1 else 1.0]
    losses = [
        engine.gradients(pack.tensors, pack.weights * factor, 9.0, last=number == len(packs) - 1)
        for number, (pack, factor) in enumerate(zip(packs, factors, strict=True))
    ]
    norm = engine.step(1e-3)
    mine = {2 * place + engine.rank: pack.batch.sample_ids for place, pack in enumerate(packs)}
    culprits = find_culprits(norm, mine, losses)
    stayed = all(torch.equal(value, before[name]) for name, value in engine.weights().items())
    return recorder.calls, (norm, culprits, stayed)


def numbers_of(ranks: list[list[list[int]]], device: torch.device) -> StepNumbers:
    """A step's numbers over both ranks; rank 1 waited longer, and was asked to stop."""
    engine, packs = engine_and_packs(ranks, "sqrt", device, 1)
    counter = StepCounter(device, lambda pack: float(len(pack.batch.tiles)))
    for number, pack in enumerate(packs):
        counter.add(pack, engine.gradients(pack.tensors, pack.weights, 1.0, last=number == 1), engine.sample_losses)
    late = engine.rank == 1
    return merge_numbers(counter.gather(wait_seconds=1.0 + late, quarantined=2, stopping=late).read())


def rank_main(out: str) -> None:
    device = join_processes()
    results = {case: step(globals()[case[0]], case[1], device, case[2]) for case in CASES}
    for zero in MIXED_ZERO:
        results["collectives", zero], results["spoilt", zero] = mixed(TWO_RANKS, device, zero)
    results["numbers"] = numbers_of(TWO_RANKS, device)
    torch.save(results, f"{out}.{os.environ['RANK']}")
    torch.distributed.barrier()
    os._exit(0)  # DeepSpeed's exit handlers would wait for each other


@pytest.fixture(scope="module")
def on_two_ranks(tmp_path_factory):
    """Results of `CASES` by two processes."""
    out = tmp_path_factory.mktemp("ranks") / "results.pt"
    run_two_ranks(__file__, out)
    return [torch.load(f"{out}.{rank}", weights_only=False) for rank in (0, 1)]


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
    same(on_two_ranks[0][spread, reduction, zero], reference[reduction])


@pytest.mark.parametrize("zero", MIXED_ZERO)
def test_ranks_with_images_and_with_text_alone_issue_the_same_collectives(on_two_ranks, zero):
    """Rank 0 has images in every pack, rank 1 none; both towers are there. One call more on a rank, and both hang."""
    first, second = (results["collectives", zero] for results in on_two_ranks)
    assert first == second
    assert len(first) > (100 if zero == 3 else 8), "ZeRO-3 gathers every layer's weights"
    assert len({name for name, _ in first}) >= 2


@pytest.mark.parametrize("zero", MIXED_ZERO)
def test_a_nan_on_one_rank_skips_the_step_on_both(on_two_ranks, zero):
    for results in on_two_ranks:
        norm, culprits, stayed = results["spoilt", zero]
        assert not math.isfinite(norm)
        assert stayed
        assert (culprits.what, culprits.value) == ("loss", "nan")
        assert (culprits.packs, culprits.sample_ids) == ((3,), ("s6", "s7")), "the pack that rank 1 had, on both ranks"


def test_a_steps_numbers_are_of_all_ranks(on_two_ranks, reference):
    numbers = on_two_ranks[0]["numbers"]
    assert numbers == replace(on_two_ranks[1]["numbers"], memory_bytes=numbers.memory_bytes)
    assert numbers.loss == pytest.approx(reference["sqrt"][0], rel=1e-5)
    assert (numbers.samples, numbers.tiles, numbers.packs, numbers.flops) == (8, 4, 4, 4.0)
    assert numbers.tokens == sum(text + tiles * SETTINGS.tokens_per_tile for text, _, tiles in BATCH)
    assert (numbers.wait_seconds, numbers.stopping, numbers.quarantined) == (2.0, True, 4)
    shares = {"chart_table": 0.0, "other": 0.0}
    for number, (_, answers, _) in enumerate(BATCH):
        shares["chart_table" if number % 3 else "other"] += answers**0.5
    whole = sum(shares[name] * loss for name, loss in numbers.category_losses.items()) / sum(shares.values())
    assert numbers.category_losses.keys() == shares.keys()
    assert whole == pytest.approx(numbers.loss, rel=1e-5)


def test_the_rules_differ_on_this_batch(reference):
    losses = [reference[reduction][0] for reduction in REDUCTIONS]
    assert len({round(loss, 3) for loss in losses}) == 3


if __name__ == "__main__":
    rank_main(sys.argv[1])
