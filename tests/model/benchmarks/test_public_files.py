"""Files in the public forms, from data to score: each benchmark's figure by each rule set, computed by hand."""

import csv
import json

import pytest
from benchmark_files import coded

from data.errors import AerieError
from model.evaluation.scoring import score_predictions

RULES = ("eagle2", "vlmevalkit", "lmms-eval")
TEN = str(["nokia"] * 7 + ["samsung"] * 3)
OPTIONS = {"A": "cat", "B": "dog", "C": "cow", "D": "hen", "category": "animals", "l2-category": "pets"}
OPTIONS |= {"l2_category": "pets", "split": "validation"}
FREE = {"question_type": "free_form", "answer_type": "integer", "choices": "", "precision": "", "unit": ""}
HMER, TEXT = "Handwritten Mathematical Expression Recognition", "Regular Text Recognition"
ILLUSION = {"category": "VD", "l2-category": "illusion"}

# benchmark: (rows of (columns, output), headline by each of RULES)
CASES = {
    # equal; one letter too many, 1 - 1/6; nothing alike
    "docvqa": (
        [({"answer": "['Paris', 'paris city']"}, "Paris"), ({"answer": "['Paris']"}, "Pariss"),
         ({"answer": "['Paris']"}, "Rome 1998")],
        (61.1111, 61.1111, 61.1111),
    ),
    # a similarity of one half counts for the tools only
    "infovqa": ([({"answer": "['ab']"}, "ac"), ({"answer": "['12']"}, "12")], (50.0, 75.0, 75.0)),
    # within 5 %, beyond, and a final period
    "chartqa": (
        [({"answer": "14"}, "14.5"), ({"answer": "14"}, "20"), ({"answer": "Yes"}, "Yes.")],
        (66.6667, 33.3333, 33.3333),
    ),
    # seven of ten said it; three of ten: (3 x 2/3 + 7 x 1) / 10; nobody
    "textvqa": (
        [({"answer": TEN}, "nokia"), ({"answer": TEN}, "samsung"), ({"answer": TEN}, "lg")],
        (63.3333, 63.3333, 63.3333),
    ),
    # lmms-eval lowers the case of the output, not of the formula
    "ocrbench": (
        [({"answer": "['hello']", "category": TEXT}, "It says Hello"),
         ({"answer": "['X ^ 2']", "category": HMER}, "X^2")],
        (1000.0, 1000.0, 500.0),
    ),
    # lmms-eval takes the first letter
    "mmstar": (
        [({**OPTIONS, "answer": "B"}, "B"), ({**OPTIONS, "answer": "C"}, "Cannot tell")],
        (50.0, 50.0, 100.0),
    ),
    "realworldqa": ([({**OPTIONS, "answer": "B"}, "B"), ({**OPTIONS, "answer": "A"}, "D")], (50.0, 50.0, 50.0)),
    "ai2d": ([({**OPTIONS, "answer": "B"}, "B"), ({**OPTIONS, "answer": "A"}, "D")], (50.0, 50.0, 50.0)),
    "mmmu": ([({**OPTIONS, "answer": "B"}, "B"), ({**OPTIONS, "answer": "A"}, "D")], (50.0, 50.0, 50.0)),
    # two questions, two rotations each: the second fails in one of them
    "mmbench-v11": (
        [({**OPTIONS, "index": 1, "answer": "A"}, "A"),
         ({**OPTIONS, "index": 1_000_001, "A": "dog", "B": "cat", "answer": "B"}, "B"),
         ({**OPTIONS, "index": 2, "answer": "C"}, "C"), ({**OPTIONS, "index": 1_000_002, "answer": "D"}, "A")],
        (50.0, 50.0, 50.0),
    ),
    # three of four right, one of two figures, one of two questions: the mean of 75, 50 and 50
    "hallusionbench": (
        [({**ILLUSION, "index": "VD_illusion_1_1_1_0", "answer": "Yes"}, "Yes"),
         ({**ILLUSION, "index": "VD_illusion_1_1_1_1", "answer": "Yes"}, "Yes."),
         ({**ILLUSION, "index": "VD_illusion_1_1_2_0", "answer": "No"}, "Yes"),
         ({**ILLUSION, "index": "VD_illusion_1_1_2_1", "answer": "No"}, "No")],
        (58.3333, 58.3333, 58.3333),
    ),
    # VLMEvalKit doesn't take 14.0 for the integer 14
    "mathvista": ([({**FREE, "answer": "14"}, "14.0"), ({**FREE, "answer": "3"}, "3")], (100.0, 50.0, 100.0)),
}  # fmt: skip


def rows_of(name):
    """(columns, output) with what every file has."""
    usual = {"image": coded(3), "question": "What is it?"}
    return [({"index": number, **usual, **columns}, output) for number, (columns, output) in enumerate(CASES[name][0])]


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
