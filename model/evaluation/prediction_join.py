"""Outputs from a file joined with their questions, by id: all of them, each once, none unknown; or no score at all."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import AerieError
from model.evaluation.answered import Answered
from model.evaluation.prediction_columns import check_twice, described_rows, id_of
from model.evaluation.prediction_files import (
    ID_COLUMNS,
    OUTPUT_COLUMNS,
    FileRow,
    column_of,
    id_text,
    listed,
    output_of,
    read_rows,
    tells_empty,
)
from model.evaluation.questions import Question
from model.evaluation.scorers import normalised

DOC_ID = "doc_id"  # lmms-eval's: a row's place in its data set
DOC_KEYS = ("question_id", "questionId", "index", "id", "pid")  # where lmms-eval's documents keep ids of their own
_IMAGE_MARK = re.compile(r"<image[^>]*>")


def answered_rows(uri: str, questions: Sequence[Question] | None, *, empty_ok: bool = False) -> list[Answered]:
    """What a file of predictions answers.

    With the `questions` of its benchmark the file needs an id and an output a row, and every question must be answered
    once. Without, each row must bring what a scorer needs: benchmark (or source), rule, answers (or answer) too.
    `empty_ok` takes an empty cell of a table for an empty output. `AerieError` names the file, rows and ids.
    """
    rows = read_rows(uri)
    outputs = _outputs(uri, rows, empty_ok)
    if questions is None:
        return described_rows(uri, rows, outputs)
    found = _by_doc(uri, rows, questions) or _by_id(uri, rows, questions)
    check_twice(uri, rows, [question.question_id for question in found])
    answered = {question.question_id for question in found}
    lacking = [question.question_id for question in questions if question.question_id not in answered]
    if lacking:
        raise AerieError(
            f"{uri} answers {len(answered)} of {len(questions)} questions of {questions[0].source!r}; missing are "
            f"{listed(lacking)}: ask these too, a part of a benchmark has no score"
        )
    return [_joined(question, output) for question, output in zip(found, outputs, strict=True)]


def _outputs(uri: str, rows: list[FileRow], empty_ok: bool) -> list[str]:
    column = column_of(uri, rows, OUTPUT_COLUMNS, "the raw outputs")
    outputs = [output_of(uri, row, column, empty_ok or tells_empty(uri)) for row in rows]
    missing = [row.place for row, output in zip(rows, outputs, strict=True) if output is None]
    if missing:
        hint = "" if tells_empty(uri) else ", or, if the model really said nothing there, give --empty-ok"
        raise AerieError(
            f"{uri}: {len(missing)} of {len(rows)} rows have no output in column {column!r} (null, NaN, empty or a "
            f"failed request): {listed(missing)}; ask these questions again{hint}"
        )
    return [output for output in outputs if output is not None]


def _by_id(uri: str, rows: list[FileRow], questions: Sequence[Question]) -> list[Question]:
    """Each row's question by its id: ours, or the data set's own, which stands behind the benchmark's name in ours."""
    known = _known(questions)
    column = column_of(uri, rows, ID_COLUMNS, "the questions' ids")
    ids = [id_of(uri, row, column) for row in rows]
    unknown = [f"{row.place} {key!r}" for row, key in zip(rows, ids, strict=True) if key not in known]
    if unknown:
        raise AerieError(
            f"{uri}: {len(unknown)} of {len(rows)} ids in column {column!r} are none of the {len(questions)} questions "
            f"of {questions[0].source!r}: {listed(unknown)}; its first id is {questions[0].question_id!r}: name the "
            "benchmark and the split that were asked"
        )
    return [known[key] for key in ids]


def _known(questions: Sequence[Question]) -> dict[str, Question]:
    known = {}
    for question in questions:
        own = question.question_id.removeprefix(question.source)
        known[own[1:] if own != question.question_id and own[:1] in set("/:#") else own] = question
    return known | {question.question_id: question for question in questions}


def _by_doc(uri: str, rows: list[FileRow], questions: Sequence[Question]) -> list[Question] | None:
    """lmms-eval's samples: by the document's own id, else by its place where its question agrees; None for others."""
    if DOC_ID not in rows[0].values or "question_id" in rows[0].values:
        return None
    known = _known(questions)
    for key in DOC_KEYS:
        ids = [id_text(_doc(row).get(key)) for row in rows]
        if all(one in known for one in ids):
            return [known[one] for one in ids]
    return [_at_place(uri, row, questions) for row in rows]


def _at_place(uri: str, row: FileRow, questions: Sequence[Question]) -> Question:
    place = id_text(row.values.get(DOC_ID))
    if not place.isdecimal() or int(place) >= len(questions):
        raise AerieError(
            f"{uri}: {row.place} has doc_id {place!r}, {questions[0].source!r} has questions 0 to "
            f"{len(questions) - 1}; name the benchmark and the split that were asked"
        )
    question = questions[int(place)]
    asked, target = _doc(row).get("question"), row.values.get("target")
    if isinstance(asked, str):
        agrees = _plain(asked) in _plain(question.prompt)
    elif isinstance(target, str):
        agrees = normalised(target) in {normalised(text) for text in question.answers}
    else:
        raise AerieError(
            f"{uri}: nothing in {row.place} tells which question it answers (no id, question or target in text); add "
            "a column question_id"
        )
    if not agrees:
        raise AerieError(
            f"{uri}: {row.place} is about another question than number {place} of {questions[0].source!r} "
            f"({question.question_id!r}); the data sets differ in order or split: add a column question_id"
        )
    return question


def _doc(row: FileRow) -> Mapping[str, Any]:
    doc = row.values.get("doc")
    return doc if isinstance(doc, Mapping) else {}


def _plain(text: str) -> str:
    return " ".join(_IMAGE_MARK.sub(" ", text).casefold().split())


def _joined(question: Question, output: str) -> Answered:
    return Answered(
        question_id=question.question_id,
        benchmark=question.source,
        rule=question.rule,
        prompt=question.prompt,
        output=output,
        answers=question.answers,
        options=question.options,
        facts=question.facts,
    )
