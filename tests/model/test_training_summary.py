"""A stage's numbers for the KFP UI: means over the right things, finite, with and without times."""

import dataclasses

import pytest

from data.storage import Manifest, attach, commit
from model.training.metrics import SkippedStep, StepMetrics
from model.training.training_summary import summarise, training_metrics

STEP = StepMetrics(
    step=1, loss=2.0, learning_rate=1e-3, tokens=900, samples=9, grad_norm=1.0, packs=(0, 1), seconds=1.0, tiles=6,
    padding_share=0.1, category_losses={"chart_table": 1.0}, wait_share=0.5, mfu=0.2, memory_bytes=1 << 30,
)  # fmt: skip


def steps():
    """Twenty steps: one second each and three the last two, which are the last tenth; one of those is skipped."""
    made = [dataclasses.replace(STEP, step=number) for number in range(1, 19)]
    last = {"seconds": 3.0, "wait_share": 0.1, "mfu": 0.6, "memory_bytes": 2 << 30, "checkpoint_seconds": 1.5}
    made.append(
        dataclasses.replace(STEP, step=19, loss=1.0, category_losses={"chart_table": 0.5, "other": 3.0}, **last)
    )
    skipped = SkippedStep(what="loss", value="nan", packs=(1,), sample_ids=("a",))
    made.append(
        dataclasses.replace(STEP, step=20, loss=None, category_losses={}, skipped=skipped, quarantined=2, **last)
    )
    return made


def test_means_are_over_seconds_and_final_losses_over_the_last_tenth():
    assert summarise(steps()) == pytest.approx(
        {
            "steps": 20,
            "skipped_steps": 1,
            "quarantined": 2,
            "final_loss": 1.0,
            "final_loss/chart_table": 0.5,
            "final_loss/other": 3.0,
            "padding_share": 0.1,
            "tokens_per_second": 20 * 900 / 24,
            "samples_per_second": 20 * 9 / 24,
            "tiles_per_second": 20 * 6 / 24,
            "wait_share": (18 * 0.5 + 6 * 0.1) / 24,
            "mfu": (18 * 0.2 + 6 * 0.6) / 24,
            "memory_gib": 2.0,
            "checkpoint_seconds": 3.0,
        }
    )


def test_on_a_cpu_there_is_no_mfu_and_all_skipped_there_is_no_loss():
    bare = [dataclasses.replace(step, mfu=None, loss=None, category_losses={}) for step in steps()]
    assert not {"mfu", "final_loss"} & set(summarise(bare))


def test_times_come_from_the_file_beside_the_committed_one(tmp_path):
    folder = str(tmp_path / "stage_1")
    committed = "".join(step.to_json(times=False) + "\n" for step in steps()).encode()
    files = {"metrics": attach(folder, "steps.jsonl", committed)}
    done = Manifest(step="stage_1", fingerprint="f", recipe_sha256="", rows=1, shards=(), attachments=files)
    commit(folder, done)
    assert "stage_1/tokens_per_second" not in training_metrics("stage_1", folder, done)
    (tmp_path / "stage_1/metrics.jsonl").write_text("".join(step.to_json() + "\n" for step in steps()))
    found = training_metrics("stage_1", folder, done)
    assert found == {f"stage_1/{name}": value for name, value in summarise(steps()).items()}
