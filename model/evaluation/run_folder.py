"""Typed access to the committed steps of one run, as the report reads them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from data.files import join
from data.recipe import load_data_recipe
from data.registry.cards import SourceCard, recipe_card
from data.schema import Sample, table_to_samples
from data.storage import Manifest, parquet_table, read_attachment, read_manifest, read_samples
from model.evaluation.judging_step import STEP as JUDGING
from model.evaluation.predictions import Prediction, read_benchmarks, read_predictions
from model.recipe import STAGES, Recipe, load_recipe

CURATION = ("validation", "embedding", "gate", "filtering", "selection", "augmentation", "formatting")


@dataclass
class RunFolder:
    """STORAGE/RUN_ID with its recipe and source cards. Manifests are read once; samples are found by id."""

    uri: str
    recipe: Recipe
    cards: dict[str, SourceCard] = field(default_factory=dict)
    _manifests: dict[str, Manifest] = field(default_factory=dict)

    @classmethod
    def open(cls, recipe_uri: str, recipe_sha256: str, run_uri: str) -> "RunFolder":
        """A run's folder with the recipe that made it."""
        recipe, data = load_recipe(recipe_uri, recipe_sha256), load_data_recipe(recipe_uri, recipe_sha256)
        cards = {use.name: recipe_card(data, use.name) for use in data.data.sources}
        return cls(uri=run_uri, recipe=recipe, cards=cards)

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.uri.rstrip("/").rsplit("/", 1)[-1]

    @property
    def parameters(self) -> dict[str, int]:
        """The trained network's parameters by part, as the last stage's checkpoint tells them."""
        counts: dict[str, int] = self.document(STAGES[-1], "config")["parameters"]
        return counts

    @property
    def sources(self) -> list[str]:
        """The recipe's sources in its order."""
        return [use.name for use in self.recipe.data.sources]

    @property
    def steps(self) -> list[str]:
        """Every step that the report builds on, in the order of the graph."""
        stages = [step for stage in STAGES for step in (f"packing/{stage}", stage, f"evaluation/{stage}")]
        sourcing = [f"sourcing/{source}" for source in self.sources]
        return [*sourcing, *CURATION, "tokenizer", *stages, JUDGING, "promotion"]

    def folder(self, step: str) -> str:
        """Where a step keeps its output."""
        return join(self.uri, *step.split("/"))

    def manifest(self, step: str) -> Manifest:
        """A step's manifest; `AerieError` when it has not finished."""
        if step not in self._manifests:
            self._manifests[step] = read_manifest(self.folder(step))
        return self._manifests[step]

    def attachment(self, step: str, name: str) -> bytes:
        """A side file of a step, checked against its manifest."""
        return read_attachment(self.folder(step), self.manifest(step), name)

    def document(self, step: str, name: str = "report") -> dict[str, Any]:
        """A JSON side file of a step."""
        document: dict[str, Any] = json.loads(self.attachment(step, name))
        return document

    def scores(self, stage: str) -> dict[str, Any]:
        """The scores file of a stage's evaluation, the last one's with the judge's verdicts."""
        if stage == STAGES[-1]:
            return self.document(JUDGING, "scores")
        return self.document(f"evaluation/{stage}", "scores")

    def heldout_answers(self, stage: str) -> list[Prediction]:
        """A stage's answers to held-out questions."""
        step = f"evaluation/{stage}"
        return read_predictions(self.folder(step), self.manifest(step))

    def benchmark_answers(self) -> list[Prediction]:
        """The last stage's answers to benchmarks with the judge's verdicts; none where it was asked none."""
        return read_benchmarks(self.folder(JUDGING), self.manifest(JUDGING))

    def link(self, step: str, name: str = "manifest.json") -> str:
        """A file of a step relative to the report's folder, which lies beside the steps."""
        return f"../{step}/{name}"

    def find(self, sample_ids: Iterable[str], step: str = "validation") -> dict[str, Sample]:
        """The training samples with these ids; reads shard by shard, keeps only what is wanted."""
        wanted = set(sample_ids)
        if not wanted:
            return {}
        every = read_samples(self.folder(step), self.manifest(step))
        return {sample.sample_id: sample for sample in every if sample.sample_id in wanted}

    @cached_property
    def heldout(self) -> dict[str, Sample]:
        """Held-out samples by id, formatted as they were asked."""
        table = parquet_table(self.attachment("formatting", "heldout"))
        return {sample.sample_id: sample for sample in table_to_samples(table)}
