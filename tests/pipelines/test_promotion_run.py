"""The gate's two tasks in KFP's own local runner: the first leaves its report, the next fails or hands over a model."""

import json
from pathlib import Path

import pytest
from kfp import compiler, dsl
from promotion_runs import GatedRun, answers, benchmark_answers
from rich.console import Console

from components.promotion import promotion
from data.errors import AerieError
from data.storage import read_manifest
from model.evaluation.promotion.registry import entries
from model.recipe import load_recipe
from pipelines.local_run import Run, execute
from pipelines.placement import PROMOTION, manifest_of, place
from pipelines.post_train import accepting


def execute_gate(made: GatedRun, folder: Path):
    """Compile the gate alone for a run whose last stage is evaluated, and execute it."""
    hashes = {
        "checkpoint_sha256": read_manifest(f"{made.uri}/stage_2").sha256(),
        "evaluation_sha256": read_manifest(f"{made.uri}/evaluation/stage_2").sha256(),
        "judging_sha256": read_manifest(f"{made.uri}/judging").sha256(),
    }

    @dsl.pipeline(name="gate-only")
    def gate_only(
        recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, sources: list, training_runtime: str
    ):
        run = {"recipe_uri": recipe_uri, "recipe_sha256": recipe_sha256, "storage_uri": storage_uri, "run_id": run_id}
        compared = place(promotion(**hashes, **run), PROMOTION, "promotion")
        accepting(manifest_of(compared), **run)

    package = folder / "gate.yaml"
    compiler.Compiler().compile(gate_only, str(package))
    run_id = made.uri.rpartition("/")[2]
    return execute(
        Run(storage_uri=made.storage, run_id=run_id, recipe=load_recipe(made.recipe)), package, Console(quiet=True)
    )


def test_accepted_then_refused_in_the_next_task(tmp_path):
    storage = str(tmp_path / "runs")
    good = execute_gate(GatedRun(storage, "good", answers(6), {}), tmp_path)
    assert [result.step for result in good] == ["promotion", "acceptance"]
    assert [entry.run_id for entry in entries(f"{storage}/registry", "gated")] == ["good"]

    bad = GatedRun(storage, "bad", answers(30), {})
    with pytest.raises(
        AerieError, match=r"acceptance: the checkpoint of stage_2 is not accepted.*\n  source easy-vqa: "
    ):
        execute_gate(bad, tmp_path)
    report = json.loads(Path(bad.uri, "promotion/report.json").read_text())
    assert (report["accepted"], report["lines"][0]["decision"]) == (False, "regression")
    assert "interval" in Path(bad.uri, "errors/acceptance.txt").read_text()
    assert len(entries(f"{storage}/registry", "gated")) == 1


def test_a_checkpoint_that_is_worse_on_one_benchmark_alone_is_refused_in_the_next_task(tmp_path):
    storage = str(tmp_path / "runs")
    execute_gate(GatedRun(storage, "good", answers(6), {}, benchmarks=benchmark_answers()), tmp_path)
    (entry,) = entries(f"{storage}/registry", "gated")
    assert entry.benchmark_scores["local-choice"] == 1

    bad = GatedRun(storage, "bad", answers(6), {}, benchmarks=benchmark_answers({"local-choice"}))
    with pytest.raises(
        AerieError, match=r"compared with number 1 \(run good\):\n  benchmark local-choice: 100\.0 -> 0\.0 %, diff"
    ):
        execute_gate(bad, tmp_path)
    report = json.loads(Path(bad.uri, "promotion/report.json").read_text())
    assert {line["name"] for line in report["lines"] if line["refused"]} == {"local-choice"}
    assert "benchmark local-choice" in Path(bad.uri, "errors/acceptance.txt").read_text()
    assert len(entries(f"{storage}/registry", "gated")) == 1
