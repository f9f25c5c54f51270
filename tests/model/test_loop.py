"""The loop around the engine: what it records, what it skips, when it gives up."""

import json
import math

import pytest

from data.errors import AerieError
from model.recipe import load_recipe
from model.training.job import TrainingJob
from model.training.metrics import OF_THIS_RUN, read_steps
from model.training.stage import train
from model.training.stopping import StopRequest
from model.vlm import VisionLanguageModel

STAGE = "stage_1_5"
FORWARD = VisionLanguageModel.forward


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")


def job(run, out) -> TrainingJob:
    places = {"recipe_uri": run / "recipe.yaml", "packing_uri": run / "packing" / STAGE, "out_uri": out}
    places |= {"formatting_uri": run / "formatting", "tokenizer_uri": run / "tokenizer"}
    texts = {name: str(place) for name, place in places.items()}
    return TrainingJob(stage=STAGE, recipe_sha256="", parent_uri="", fingerprint="f", **texts)


def spoil(monkeypatch, packs):
    """Infinite losses for the packs numbered; one process trains them in order, one after the other."""
    seen = iter(range(1000))

    def forward(self, pack, weights):
        total, per_sample = FORWARD(self, pack, weights)
        return (total + math.inf if next(seen) in packs else total), per_sample

    monkeypatch.setattr(VisionLanguageModel, "forward", forward)


@pytest.fixture(scope="module")
def out(training_folder, alone, tmp_path_factory):
    """The folder of a run whose packs 5 and 8 (steps 3 and 5) have infinite losses."""
    out = tmp_path_factory.mktemp("loop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        spoil(patch, {5, 8})
        assert train(job(training_folder, out), StopRequest())
    return out


@pytest.fixture
def steps(out):
    return read_steps((out / "metrics.jsonl").read_bytes())


def test_a_skipped_step_is_recorded_with_its_pack_and_samples(steps, training_folder):
    from data.storage import read_manifest, read_tables

    folder = str(training_folder / "packing" / STAGE)
    rows = [row for table in read_tables(folder, read_manifest(folder)) for row in table.to_pylist()]
    assert [step.step for step in steps if step.skipped] == [3, 5]
    for step, pack in ((steps[2], 5), (steps[4], 8)):
        assert (step.loss, step.grad_norm) == (None, None)
        assert (step.skipped.what, step.skipped.value, step.skipped.packs) == ("loss", "inf", (pack,))
        assert step.skipped.sample_ids == tuple(row["sample_id"] for row in rows if row["pack"] == pack)
    assert [step.skipped_steps for step in steps[:6]] == [0, 0, 1, 1, 2, 2]
    assert all(step.loss for step in steps if not step.skipped)


def test_each_step_tells_what_it_learned_and_how_fast(steps, training_folder):
    recipe = load_recipe(str(training_folder / "recipe.yaml"))
    rates = [json.loads(step.to_json())["tokens_per_second"] for step in steps]
    assert [rate * step.seconds for rate, step in zip(rates, steps, strict=True)] == pytest.approx(
        [step.tokens for step in steps]
    )
    for step in steps:
        capacity = recipe.stages[STAGE].capacity * (step.packs[1] - step.packs[0] + 1)
        assert step.padding_share == pytest.approx(1 - step.tokens / capacity)
        assert set(step.category_losses) <= {"general_vqa", "text_only"}
        assert 0 <= step.wait_share <= 1
        assert step.flops > 6 * step.tokens * 1000
        assert step.memory_bytes > 1 << 20
        assert step.mfu is None
    learned = [step for step in steps if not step.skipped]
    assert {name for step in learned for name in step.category_losses} == {"general_vqa", "text_only"}
    assert all(
        min(step.category_losses.values()) - 1e-5 <= step.loss <= max(step.category_losses.values()) + 1e-5
        for step in learned
    )
    assert sum(step.tiles for step in steps) > 0
    saved = [number for number, step in enumerate(steps, 1) if step.checkpoint_seconds]
    assert saved == [number + 1 for number in range(3, len(steps), 3)]


def test_the_committed_lines_hold_no_times(out):
    lines = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
    assert not OF_THIS_RUN & set(lines[0])
    assert not any(name.endswith("_per_second") for name in lines[0])


def test_steps_skipped_in_a_row_end_the_stage_with_their_packs(training_folder, alone, tmp_path, monkeypatch):
    spoil(monkeypatch, range(7, 1000))
    with pytest.raises(AerieError, match=r"3 steps in a row were skipped.*packs concerned: 7, 8, 9, 10, 11\."):
        train(job(training_folder, tmp_path), StopRequest())
    assert len(read_steps((tmp_path / "metrics.jsonl").read_bytes())) == 6
    assert not (tmp_path / "model.safetensors").exists()
