"""What the launcher's tests share: one job to launch, and time that costs nothing."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

import yaml

from components.trainjob_manifest import read_placement, render
from components.trainjob_patience import Patience, Waiting
from model.recipe import Recipe
from model.training.job import TrainingJob

TOKEN = "planted-token-7f3a9c"  # looked for in everything that is printed or raised
RUN, KFP_RUN, RUNTIME = "tiny-20260101", "0b7c2f0e-0000-4000-8000-00000000000a", "aerie-torch-v1"
PLACEMENT = {
    "image": "registry.example/aerie-python-train@sha256:" + "ab" * 32,
    "queue": "aerie",
    "priority_class": "aerie-training",
    "gpu_resource": "nvidia.com/gpu",
    "cpu": "96",
    "memory": "960Gi",
    "deadline_seconds": 432000,
}
STAGE = "stage_1_5"


def training_job(**changes):
    places = {name: f"s3://aerie/runs/{RUN}/{name}" for name in ("packing_uri", "formatting_uri", "tokenizer_uri")}
    places |= {"recipe_uri": "s3://aerie/recipes/tiny.yaml", "parent_uri": f"s3://aerie/runs/{RUN}/stage_1"}
    places |= {"out_uri": f"s3://aerie/runs/{RUN}/{STAGE}", "recipe_sha256": "5e" * 32, "fingerprint": "f1" * 32}
    return TrainingJob(**{"stage": STAGE, **places, **changes})


@cache
def small_recipe(nodes=1, processes=1, packs=None):
    stage = {"learning_rate": 1e-3, "packs_per_step": packs or nodes * processes, "nodes": nodes}
    document = {"name": "tiny", "seed": 1, "data": {"sources": [{"name": "digits"}]}, "processes": processes}
    stages = dict.fromkeys(("stage_1", "stage_1_5", "stage_2"), stage)
    path = Path(__file__).resolve().parents[2] / "pipelines/recipes/mini.yaml"
    return Recipe.model_validate({**document, "model": yaml.safe_load(path.read_text())["model"], "stages": stages})


def manifest_for(nodes=2, kfp_run=KFP_RUN, **changes):
    placement = read_placement(json.dumps(PLACEMENT | changes))
    return render(training_job(), small_recipe(nodes=nodes), placement, RUNTIME, RUN, kfp_run)


@dataclass
class Time:
    """A clock that sleeping moves; `at` maps the n-th sleep to what happens in it."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)
    at: dict[int, object] = field(default_factory=dict)

    def sleep(self, seconds):
        self.now += seconds
        self.slept.append(seconds)
        if happening := self.at.get(len(self.slept)):
            happening()

    def patience(self, seed=0, **waiting):
        return Patience(
            where=f"{STAGE}: TrainJob aerie/x",
            sleep=self.sleep,
            clock=lambda: self.now,
            random=Random(seed),
            waiting=Waiting(**waiting),
        )
