"""A benchmark's public data as questions, with all that its rule needs."""

from collections.abc import Iterator
from pathlib import Path

from data.errors import AerieError
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import clean
from data.schema import ImageRef
from model.evaluation.benchmarks.cards import WORDING, BenchmarkCard
from model.evaluation.benchmarks.facts import facts_of
from model.evaluation.benchmarks.records import Row, rows
from model.evaluation.benchmarks.references import options_of, references
from model.evaluation.benchmarks.wording import placed
from model.evaluation.questions import Question, answer_type


def questions(card: BenchmarkCard, uri: str | Path, wording: str = WORDING) -> Iterator[Question]:
    """The questions of a benchmark in the file's order, read as they are asked for.

    `uri` is a file or folder (see `places.found`), or a file://, s3://, hf:// or https:// address. `source` is the
    card's name, `question_id` the name and the row's index. Pictures are read from their headers; one whose pixels are
    broken is found when it is decoded. `AerieError` names the file, the row and the column of a duplicate index, a
    missing column or cell, an answer that is no option, or a broken image, and says what to do.
    """
    if wording not in card.wordings:
        raise AerieError(f"benchmark {card.name!r} has no wording {wording!r}; it has {sorted(card.wordings)}")
    seen: dict[str, str] = {}
    for row in rows(card, str(uri)):
        if any(row.text(column) != value for column, value in row.layout.only.items()):
            continue
        if row.layout.without_image == "skip" and not row.has_image:
            continue
        index = _index(card, row)
        if index in seen:
            raise _wrong(card, row, row.layout.index or "", f"index {index!r} stands at {seen[index]} already")
        seen[index] = f"{row.file}, {row.place}"
        yield _question(card, row, index, wording)
    if not seen:
        raise AerieError(f"benchmark {card.name!r}: {uri} holds no question of the split {card.split!r}")


def _index(card: BenchmarkCard, row: Row) -> str:
    if row.layout.index is None:
        return f"{row.file}:{row.place.split()[-1]}"
    return _required(card, row, row.layout.index)


def _question(card: BenchmarkCard, row: Row, index: str, wording: str) -> Question:
    layout = row.layout
    asked = _required(card, row, layout.question)
    column = layout.options or ""
    try:
        options = options_of(row)
        column = layout.answer
        answers = references(row, options)
        column = "facts"
        facts = facts_of(card, row, index, options)
        column = ", ".join(layout.images)
        images = _images(row)
        column = layout.question
        text = clean(card.wordings[wording].text(asked, options, row.text(layout.hint)))  # type: ignore[index]
        prompt, shown = placed(text, images, card.interleaved)
    except (BadRowError, ValueError) as problem:
        raise _wrong(card, row, column, str(problem)) from None
    rule = card.rule if options or card.rule_without_options is None else card.rule_without_options
    return Question(
        question_id=f"{card.name}/{index}",
        sample_id=f"{card.name}/{index}",
        source=card.name,
        category=card.category,
        task="multiple_choice" if options else "open",
        answer_type=answer_type(answers[0]),
        prompt=prompt,
        answer=answers[0],
        images=shown,
        image_key="+".join(image.content_hash() for image in shown),
        rule=rule,
        answers=answers,
        options=options,
        facts=facts,
    )


def _images(row: Row) -> list[ImageRef]:
    if images := row.images():
        return images
    raise BadRowError("missing_file", "no image")


def _required(card: BenchmarkCard, row: Row, column: str) -> str:
    try:
        if text := row.text(column):
            return text
    except BadRowError as problem:
        raise _wrong(card, row, column, str(problem)) from None
    raise _wrong(card, row, column, "the cell is empty or NaN")


def _wrong(card: BenchmarkCard, row: Row, column: str, problem: str) -> AerieError:
    pinned = f" and compare its MD5 with {row.layout.md5}" if row.layout.md5 else ""
    return AerieError(
        f"benchmark {card.name!r}: {row.file}, {row.place}, column {column!r}: {problem}; get the file again from "
        f"{row.layout.uri}{pinned}, or mend the row"
    )
