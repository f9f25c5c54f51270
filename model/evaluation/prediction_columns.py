"""Rows that bring all that a scorer needs: no benchmark is read beside them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from data.errors import AerieError
from model.evaluation.answered import Answered
from model.evaluation.prediction_files import ID_COLUMNS, FileRow, column_of, id_text, is_missing, listed

BLIND = (True, 1, "True", "true", "1")


def described_rows(uri: str, rows: list[FileRow], outputs: list[str]) -> list[Answered]:
    """Rows with question_id, benchmark (or source), rule, answers (or answer); options, facts, prompt where there are.

    Answers to blinded images (column `blind`) are left out. In tables answers, options and facts are JSON text.
    `AerieError` names the row and the column that it lacks.
    """
    column = column_of(uri, rows, ID_COLUMNS, "the questions' ids")
    pairs = [pair for pair in zip(rows, outputs, strict=True) if pair[0].values.get("blind") not in BLIND]
    found = [_described(uri, row, column, output) for row, output in pairs]
    check_twice(uri, [row for row, _ in pairs], [f"{row.benchmark}/{row.question_id}" for row in found])
    return found


def id_of(uri: str, row: FileRow, column: str) -> str:
    """A row's id; `AerieError` when the cell is empty."""
    value = row.values.get(column)
    if is_missing(value) or value == "":
        raise AerieError(f"{uri}: {row.place} has no id in column {column!r}; give each row its question's id")
    return id_text(value)


def check_twice(uri: str, rows: list[FileRow], ids: Sequence[str]) -> None:
    """`AerieError` names rows that answer one question twice."""
    counts = Counter(ids)
    twice = [f"{row.place} {key!r}" for row, key in zip(rows, ids, strict=True) if counts[key] > 1]
    if twice:
        raise AerieError(
            f"{uri}: {len(twice)} rows share their question with another row: {listed(twice)}; keep one answer to each "
            "(lmms-eval writes one for each of its filters)"
        )


def _described(uri: str, row: FileRow, column: str, output: str) -> Answered:
    return Answered(
        question_id=id_of(uri, row, column),
        benchmark=str(_cell(uri, row, "benchmark", "source")),
        rule=str(_cell(uri, row, "rule")),
        prompt=str(row.values.get("prompt") or row.values.get("question") or ""),
        output=output,
        answers=_answers(uri, row),
        options=_options(uri, row),
        facts=_facts(uri, row),
    )


def _cell(uri: str, row: FileRow, *names: str) -> Any:
    for name in names:
        value = row.values.get(name)
        if not is_missing(value) and value != "":
            return value
    raise AerieError(
        f"{uri}: {row.place} has no {' or '.join(names)}; add the column, or name the benchmark whose questions the "
        "file answers: --benchmark NAME --data FOLDER"
    )


def _answers(uri: str, row: FileRow) -> tuple[str, ...]:
    """`answers` is a list or JSON text of one, `answer` a text as it is."""
    given = _decoded(uri, row, "answers")
    if given is None:
        return (str(_cell(uri, row, "answer", "answers")),)
    if not isinstance(given, list) or not given:
        raise AerieError(f"{uri}: {row.place} needs answers as a list of texts, it has {given!r}")
    return tuple(map(str, given))


def _options(uri: str, row: FileRow) -> tuple[tuple[str, str], ...]:
    given = _decoded(uri, row, "options")
    try:
        return tuple((str(one["letter"]), str(one["text"])) for one in given or ())
    except (TypeError, KeyError):
        raise AerieError(f"{uri}: {row.place} needs options as a list of {{letter, text}}, it has {given!r}") from None


def _facts(uri: str, row: FileRow) -> Mapping[str, Any]:
    given = _decoded(uri, row, "facts") or {}
    if not isinstance(given, Mapping):
        raise AerieError(f"{uri}: {row.place} needs facts as a JSON object, it has {given!r}")
    return given


def _decoded(uri: str, row: FileRow, name: str) -> Any:
    """A list or object as it is or from its JSON text; None when the cell is empty."""
    value = row.values.get(name)
    if is_missing(value) or value == "":
        return None
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise AerieError(f"{uri}: {row.place} has {value!r} in column {name!r}; JSON was expected") from None
