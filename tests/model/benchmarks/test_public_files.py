"""Files in the public forms, from data to score: each benchmark's figure by each rule set, computed by hand."""

import csv
import json

import pytest
from public_cases import CASES, RULES, rows_of

from data.errors import AerieError
from model.evaluation.scoring import score_predictions


@pytest.fixture
def files(tsv, tmp_path):
    """A function: benchmark -> the benchmark's data and a prediction file as VLMEvalKit writes it."""

    def write(name, change=lambda rows: rows):
        rows = rows_of(name)
        tsv(name, *(columns for columns, _ in rows))
        path = tmp_path / f"{name}-answers.tsv"
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream, delimiter="\t", quoting=csv.QUOTE_ALL)
            writer.writerow(["index", "question", "prediction"])
            writer.writerows(change([[row["index"], row["question"], output] for row, output in rows]))
        return str(path), str(tmp_path)

    return write


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_vlmevalkit_has_the_score_computed_by_hand(files, name):
    path, data = files(name)
    results = score_predictions(path, RULES, benchmark=name, data=data).results
    assert [result.rules for result in results] == list(RULES)
    assert [result.score for result in results] == pytest.approx(CASES[name][1], abs=1e-3)


def test_a_file_of_lmms_eval_has_the_same_score(files, tmp_path):
    _, data = files("chartqa")
    path = tmp_path / "samples.jsonl"
    lines = [
        {"doc_id": number, "target": columns["answer"], "filtered_resps": [output], "doc": {"index": columns["index"]}}
        for number, (columns, output) in enumerate(rows_of("chartqa"))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    results = score_predictions(str(path), RULES, benchmark="chartqa", data=data).results
    assert [result.score for result in results] == pytest.approx(CASES["chartqa"][1], abs=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[:-1], "missing are chartqa/2"),
        (lambda rows: [*rows, rows[0]], "row 1 'chartqa/0', row 4 'chartqa/0'"),
        (lambda rows: [*rows[:-1], [rows[-1][0], rows[-1][1], ""]], "row 3"),
        (lambda rows: [*rows, [99, "?", "x"]], "99"),
    ],
)
def test_missing_double_empty_and_unknown_answers_are_named(files, change, words):
    path, data = files("chartqa", change)
    with pytest.raises(AerieError) as caught:
        score_predictions(path, RULES, benchmark="chartqa", data=data)
    assert "chartqa-answers.tsv" in str(caught.value)
    assert words in str(caught.value)
