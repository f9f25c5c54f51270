"""Example predictions with their images: right and wrong ones of every source."""

from collections.abc import Iterator

from data.reporting.html import Badge, Gallery, Picture, Section, Table, Text
from data.schema import IMAGE_PLACEHOLDER
from model.evaluation.predictions import Prediction, read_predictions
from model.evaluation.run_folder import RunFolder
from model.evaluation.scorers import score
from model.recipe import STAGES

SHOWN = 3  # right ones and wrong ones per source
RIGHT = 0.999


def examples_section(run: RunFolder) -> Section:
    """The first right and wrong predictions of each source after the last stage, in stored order."""
    step = f"evaluation/{STAGES[-1]}"
    predictions = [p for p in read_predictions(run.folder(step), run.manifest(step)) if not p.blind]
    items, rows = [], []
    for prediction, verdict in _chosen(predictions, run.sources):
        images = run.heldout[prediction.sample_id].images
        question = prediction.prompt.replace(IMAGE_PLACEHOLDER, "").strip()
        if images:
            reference = "" if verdict == "right" else f"\nReference: {prediction.answer}"
            caption = f"{prediction.source}\n{question}\nAnswer: {prediction.output}{reference}"
            items.append(Picture(images[0].bytes or b"", caption, _badge(verdict)))
        else:
            rows.append((_badge(verdict), prediction.source, question, prediction.output, prediction.answer))
    return Section(
        title="Example predictions",
        blocks=(
            Text("After the last stage, at most three right and three wrong answers per source."),
            Gallery(items=tuple(items)),
            Table(headers=("Verdict", "Source", "Question", "Prediction", "Reference"), rows=tuple(rows)),
        ),
    )


def _badge(verdict: str) -> Badge:
    return Badge(verdict, "good" if verdict == "right" else "bad")


def _chosen(predictions: list[Prediction], sources: list[str]) -> Iterator[tuple[Prediction, str]]:
    for source in sources:
        mine = [(p, score(p.task, p.output, p.answer) >= RIGHT) for p in predictions if p.source == source]
        for verdict, wanted in (("right", True), ("wrong", False)):
            seen: set[str] = set()  # one prediction per sample, so that the examples differ
            for prediction, right in mine:
                if right == wanted and prediction.sample_id not in seen and len(seen) < SHOWN:
                    seen.add(prediction.sample_id)
                    yield prediction, verdict
