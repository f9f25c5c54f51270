"""easy-VQA as its package stores it: `data/{train,test}/questions.json` ([question, answer, image]) and PNG files."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from data.errors import AerieError
from data.images import ImageProblemError, image_ref
from data.registry.cards import SourceCard
from data.registry.rows import (
    Accepted,
    RawRow,
    Rejected,
    Split,
    package_folder,
    package_identity,
    question_sample,
    seeded_keep,
)
from data.settings.sources import SourceUse

SHAPES = frozenset({"circle", "rectangle", "triangle"})
FOLDERS: tuple[tuple[Split, str], ...] = (("train", "train"), ("heldout", "test"))
identity = package_identity


def task_of(answer: str) -> str:
    """The kind of question, told by its answer: the package's 13 answers are yes, no, 3 shapes and 8 colours."""
    if answer in {"yes", "no"}:
        return "yes_no"
    return "shape" if answer in SHAPES else "color"


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """One conversation per image, questions in file order; held out is the official test split."""
    root = package_folder(card, "easy_vqa") / "data"
    for split, folder in FOLDERS:
        questions = _questions_by_image(root / folder / "questions.json")
        cap = use.max_samples if split == "train" else use.max_heldout
        for image_id in seeded_keep(sorted(questions), cap, seed, card.name):
            yield _row(card, split, root / folder / "images" / f"{image_id}.png", questions[image_id])


def _questions_by_image(path: Path) -> dict[int, list[tuple[str, str]]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AerieError(f"{path} can't be read ({error}); run `pip install --force-reinstall easy-vqa`") from error
    grouped: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for question, answer, image_id in entries:
        grouped[int(image_id)].append((question, answer))
    return grouped


def _row(card: SourceCard, split: Split, path: Path, questions: list[tuple[str, str]]) -> RawRow:
    key = f"{path.parents[1].name}/{path.name}"
    empty = [question for question, answer in questions if not answer.strip()]
    if empty:
        return Rejected(split=split, key=key, reason="empty_answer", detail=f"no answer to {empty[0]!r}")
    try:
        image = image_ref(path.read_bytes(), key)
    except FileNotFoundError:
        return Rejected(split=split, key=key, reason="missing_file", detail=f"{path} is not there")
    except ImageProblemError as problem:
        return Rejected(split=split, key=key, reason=problem.reason, detail=str(problem))
    pairs = [(question, answer, task_of(answer)) for question, answer in questions]
    return Accepted(split=split, sample=question_sample(card, image, pairs, {"key": key}))
