"""Runs up to the last evaluation, as far as the promotion gate reads them: a recipe, a checkpoint, predictions."""

import hashlib
import json
from pathlib import Path

from data.files import join, write_bytes
from data.storage import Manifest, attach, commit
from model.evaluation.predictions import Prediction, predictions_parquet
from model.evaluation.promotion.acceptance import Accepted, accept_checkpoint
from model.evaluation.promotion.gate import compare_with_accepted
from model.evaluation.promotion.registry import registry_folder

RECIPE = {
    "name": "gated",
    "seed": 3,
    "data": {"sources": [{"name": "easy-vqa"}]},
    "model": {},
    "stages": {stage: {"learning_rate": 1e-3} for stage in ("stage_1", "stage_1_5", "stage_2")},
}


def answers(wrong: int, questions: int = 60, source: str = "easy-vqa") -> list[Prediction]:
    """Predictions of which the first `wrong` are; every three questions show one image."""
    return [
        Prediction(
            question_id=f"{source}{number}#0",
            sample_id=f"{source}{number}",
            source=source,
            category="general_vqa",
            task="color",
            answer_type="open",
            prompt="<image>\nwhich?",
            answer="red",
            output="blue" if number < wrong else "red",
            majority="red",
            blind=False,
            checkpoint="made",
            rule="exact",
            answers=("red",),
            images=(f"image {number // 3}",),
        )
        for number in range(questions)
    ]


class GatedRun:
    """STORAGE/RUN_ID; `name` stands for the weights: another name, another checkpoint."""

    def __init__(
        self, storage: str, run_id: str, predictions: list[Prediction], promotion: object, name: str = ""
    ) -> None:
        self.storage, self.uri, self.registry = storage, join(storage, run_id), registry_folder(storage)
        self.recipe = join(self.uri, "recipe.yaml")
        document = RECIPE | ({"promotion": promotion} if promotion is not None else {})
        write_bytes(self.recipe, json.dumps(document).encode())
        self._commit("stage_2", name or run_id, {})
        lineage = {"formatting": hashlib.sha256(b"formatting").hexdigest()}
        self._commit("evaluation/stage_2", run_id, lineage, predictions=predictions_parquet(predictions))

    def _commit(self, step: str, mark: str, lineage: dict[str, str], **files: bytes) -> None:
        folder = join(self.uri, step)
        attached = {name: attach(folder, name, payload) for name, payload in files.items()}
        manifest = Manifest(
            step=step, fingerprint=mark, recipe_sha256="", rows=0, shards=(), lineage=lineage, attachments=attached
        )
        commit(folder, manifest)

    def compare(self) -> Manifest:
        """The first task."""
        places = [join(self.uri, *parts) for parts in (("stage_2",), ("evaluation", "stage_2"))]
        return compare_with_accepted(self.recipe, "", *places, self.registry, join(self.uri, "promotion"))

    def accept(self) -> Accepted:
        """The second task."""
        return accept_checkpoint(self.recipe, "", self.uri, self.registry)

    def report(self) -> dict[str, object]:
        """What the first task wrote; local runs only."""
        return dict(json.loads(Path(self.uri, "promotion", "report.json").read_text()))
