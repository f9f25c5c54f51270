"""Runs up to the last evaluation, as far as the promotion gate reads them: a recipe, a checkpoint, predictions."""

import hashlib
import json
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

from rule_questions import HALLUSION

from data.files import join, write_bytes
from data.registry.cards import load_cards
from data.registry.sourcing import load_adapter
from data.settings.sources import SourceUse
from data.storage import Manifest, attach, commit
from model.evaluation.local_benchmarks import local_benchmarks
from model.evaluation.predictions import Prediction, predicted, predictions_parquet
from model.evaluation.promotion.acceptance import Accepted, accept_checkpoint
from model.evaluation.promotion.gate import compare_with_accepted
from model.evaluation.promotion.registry import registry_folder
from model.evaluation.questions import Question

RECIPE = {
    "name": "gated",
    "seed": 3,
    "data": {"sources": [{"name": "easy-vqa"}]},
    "model": {},
    "evaluation": {"local_benchmarks": True},
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


@cache
def local_questions() -> tuple[Question, ...]:
    """All local benchmarks that real held-out images of three sources make."""
    samples = [
        row.sample
        for name, most in (("easy-vqa", 30), ("vega-charts", 6), ("text-lines", 6))
        for row in load_adapter(load_cards()[name]).read(
            load_cards()[name], SourceUse(name=name, max_samples=1, max_heldout=most), 7
        )
        if row.split == "heldout"
    ]
    return tuple(question for some in local_benchmarks(samples, 7).values() for question in some)


def benchmark_answers(fallen: Collection[str] = (), questions: Sequence[Question] = ()) -> list[Prediction]:
    """Right answers to every question, none to those of the benchmarks `fallen`; and again without the images."""
    asked = questions or local_questions()
    return [
        predicted(
            question, "" if blind or question.source in fallen else question.answer, checkpoint="made", blind=blind
        )
        for question in asked
        for blind in (False, True)
    ]


def hallusion_answers(outputs: Sequence[str] = ()) -> list[Prediction]:
    """The seven questions of a HallusionBench, answered as its table says or by `outputs`."""
    names = ("category", "subcategory", "set_id", "figure_id", "question_id")
    return [
        Prediction(
            question_id=f"hallusionbench/{number}",
            sample_id=f"hallusionbench/{number}",
            source="hallusionbench",
            category="general_vqa",
            task="open",
            answer_type="yes_no",
            prompt="<image>\nIs it so?",
            answer=answer,
            output=outputs[number] if outputs else output,
            majority="",
            blind=False,
            checkpoint="made",
            rule="hallusion",
            answers=(answer,),
            facts=dict(zip(names, facts, strict=True)),
        )
        for number, (*facts, output, answer) in enumerate(HALLUSION)
    ]


class GatedRun:
    """STORAGE/RUN_ID; `name` stands for the weights: another name, another checkpoint."""

    def __init__(
        self,
        storage: str,
        run_id: str,
        predictions: list[Prediction],
        promotion: object,
        name: str = "",
        benchmarks: Sequence[Prediction] = (),
    ) -> None:
        self.storage, self.uri, self.registry = storage, join(storage, run_id), registry_folder(storage)
        self.recipe = join(self.uri, "recipe.yaml")
        document = RECIPE | ({"promotion": promotion} if promotion is not None else {})
        write_bytes(self.recipe, json.dumps(document).encode())
        self._commit("stage_2", name or run_id, {})
        lineage = {"formatting": hashlib.sha256(b"formatting").hexdigest()}
        self._commit("evaluation/stage_2", run_id, lineage, predictions=predictions_parquet(predictions))
        answered = {"benchmarks": predictions_parquet(benchmarks)} if benchmarks else {}
        self._commit("judging", run_id, lineage, **answered)

    def _commit(self, step: str, mark: str, lineage: dict[str, str], **files: bytes) -> None:
        folder = join(self.uri, step)
        attached = {name: attach(folder, name, payload) for name, payload in files.items()}
        manifest = Manifest(
            step=step, fingerprint=mark, recipe_sha256="", rows=0, shards=(), lineage=lineage, attachments=attached
        )
        commit(folder, manifest)

    def compare(self) -> Manifest:
        """The first task."""
        places = [join(self.uri, step) for step in ("stage_2", "evaluation/stage_2", "judging")]
        return compare_with_accepted(self.recipe, "", *places, self.registry, join(self.uri, "promotion"))

    def accept(self) -> Accepted:
        """The second task."""
        return accept_checkpoint(self.recipe, "", self.uri, self.registry)

    def report(self) -> dict[str, object]:
        """What the first task wrote; local runs only."""
        return dict(json.loads(Path(self.uri, "promotion", "report.json").read_text()))
