"""Outputs that other tools wrote, joined with their questions: all, once, none unknown, none missing."""

import json
import math
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import AerieError
from model.evaluation.answered import Answered
from model.evaluation.prediction_join import answered_rows
from model.evaluation.predictions import predicted, predictions_parquet
from model.evaluation.questions import Question


def question(number: int, text: str = "", **changed) -> Question:
    given = {
        "question_id": f"chartqa/{number}", "sample_id": f"chartqa/{number}", "source": "chartqa", "task": "open",
        "category": "chart_table", "answer_type": "open", "prompt": f"<image>\n{text or f'How many {number}?'}\nShort.",
        "answer": str(number), "images": (), "image_key": "", "rule": "relaxed", "answers": (str(number),),
        "facts": {"part": "human"},
    }  # fmt: skip
    return Question(**{**given, **changed})


QUESTIONS = [question(number) for number in (10, 11, 12)]
OUTPUTS = ["10", "None", 'a\tb\n"c", it\'s']
KIT = [{"index": n, "question": f"How many {n}?", "answer": str(n)} for n in (10, 11, 12)]


def lmms(number: int, place: int, output, **changed) -> dict:
    doc = {"question": f"How  many {number}?"}
    return {
        "doc_id": place,
        "doc": doc,
        "target": str(number),
        "resps": [[output]],
        "filtered_resps": [output],
        **changed,
    }


def outputs(rows: list[Answered]) -> dict[str, str]:
    return {row.question_id: row.output for row in rows}


@pytest.fixture
def file(tmp_path):
    """A function: (name, rows) -> path of a file in the format of the name's suffix."""

    def write(name: str, rows: list[dict]) -> str:
        path = tmp_path / name
        if path.suffix == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif path.suffix == ".json":
            path.write_text(json.dumps(rows))
        elif path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        elif path.suffix == ".xlsx":
            pd.DataFrame(rows).to_excel(path, index=False)
        else:
            pd.DataFrame(rows).to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
        return str(path)

    return write


@pytest.mark.parametrize("suffix", ["tsv", "csv", "json", "jsonl", "parquet", "xlsx"])
def test_a_file_of_vlmevalkit_in_any_order_and_format(file, suffix):
    if suffix == "xlsx":
        pytest.importorskip("openpyxl")
    rows = [{**row, "prediction": output} for row, output in zip(KIT, OUTPUTS, strict=True)]
    found = answered_rows(file(f"model_ChartQA_TEST.{suffix}", rows[::-1]), QUESTIONS)
    assert outputs(found) == {f"chartqa/{n}": output for n, output in zip((10, 11, 12), OUTPUTS, strict=True)}
    assert (found[0].rule, found[0].answers, found[0].facts) == ("relaxed", ("12",), {"part": "human"})
    assert (found[0].benchmark, found[0].prompt) == ("chartqa", QUESTIONS[2].prompt)


def test_an_xlsx_without_its_reader_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    (tmp_path / "model.xlsx").write_bytes(b"PK")
    with pytest.raises(AerieError, match=r"XLSX needs the package openpyxl .*PRED_FORMAT=tsv"):
        answered_rows(str(tmp_path / "model.xlsx"), QUESTIONS)


def test_samples_of_lmms_eval_by_place_where_the_question_agrees(file):
    rows = [lmms(n, place, output) for place, (n, output) in enumerate(zip((10, 11, 12), OUTPUTS, strict=True))]
    found = answered_rows(file("x_samples_chartqa.jsonl", rows), QUESTIONS)
    assert [row.output for row in found] == OUTPUTS
    by_target = [{**row, "doc": {}} for row in rows]
    assert answered_rows(file("t.jsonl", by_target), QUESTIONS) == found


def test_samples_of_lmms_eval_by_the_document_s_own_id(file):
    rows = [lmms(0, place, str(n), doc={"questionId": n}) for place, n in enumerate((12, 10, 11))]
    found = outputs(answered_rows(file("s.jsonl", rows), QUESTIONS))
    assert found == {"chartqa/12": "12", "chartqa/10": "10", "chartqa/11": "11"}


def test_samples_of_lmms_eval_about_other_questions_are_refused(file):
    shuffled = [lmms(n, place, "1") for place, n in enumerate((11, 10, 12))]
    with pytest.raises(
        AerieError, match=r"line 1 is about another question than number 0 of 'chartqa' \('chartqa/10'\)"
    ):
        answered_rows(file("s.jsonl", shuffled), QUESTIONS)
    beyond = [lmms(10, 3, "1")]
    with pytest.raises(AerieError, match="line 1 has doc_id '3', 'chartqa' has questions 0 to 2"):
        answered_rows(file("b.jsonl", beyond), QUESTIONS)
    nameless = [lmms(10, 0, "1", doc={}, target=None)]
    with pytest.raises(AerieError, match="nothing in line 1 tells which question it answers"):
        answered_rows(file("n.jsonl", nameless), QUESTIONS)


def rows_of(*ids, output="1") -> list[dict]:
    return [{"question_id": key, "output": output} for key in ids]


ALL = ("chartqa/10", "11", "chartqa/12")


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("p.csv", rows_of(*ALL[:2]), r"answers 2 of 3 questions of 'chartqa'; missing are chartqa/12: ask these too"),
        ("p.csv", rows_of(*ALL, "13"), r"1 of 4 ids in column 'question_id' are none of the 3 .*row 4 '13'"),
        ("p.csv", rows_of(*ALL, "10"), r"2 rows share their question .*row 1 'chartqa/10', row 4 'chartqa/10'"),
        ("p.csv", rows_of(*ALL, output=""), r"3 of 3 rows have no output .*row 1, row 2, row 3.*--empty-ok"),
        ("p.jsonl", rows_of(*ALL, output=None), r"3 of 3 rows have no output in column 'output' .*line 1"),
        ("p.jsonl", rows_of(*ALL, output=math.nan), "no output"),
        ("p.json", rows_of(*ALL, output="Failed to obtain answer via API."), "3 of 3 rows have no output"),
        ("p.jsonl", rows_of(*ALL, output=["a", "b"]), "line 1 has 2 outputs in column 'output'"),
        ("p.jsonl", rows_of(*ALL, output={"text": "a"}), r"line 1 has \{'text': 'a'\} in column 'output'; text"),
        ("p.csv", [{"question_id": "10", "text": "1"}], r"no column for the raw outputs \(output or .*; it has quest"),
        ("p.csv", [{"row": "10", "output": "1"}], r"no column for the questions' ids \(question_id or index"),
        ("p.jsonl", [{"question_id": None, "output": "1"}], "line 1 has no id in column 'question_id'"),
        ("p.txt", None, r"predictions are read from \.parquet, \.jsonl"),
        ("p.jsonl", [], "has no rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_named(file, tmp_path, name, rows, message):
    if rows is None:
        (tmp_path / name).write_text("")
    path = str(tmp_path / name) if rows is None else file(name, rows)
    with pytest.raises(AerieError, match=message):
        answered_rows(path, QUESTIONS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.jsonl", b'{"question_id": 1}\n{"question', "line 2 can't be read as JSON"),
        ("p.jsonl", b"[1]\n", "line 1 must be a JSON object"),
        ("p.json", b'{"a": 1}', "must hold a list of objects"),
        ("p.json", b"[", "can't be read as JSON"),
        ("p.csv", b"question_id,output\n1,a\n2,b,c,d\n", "can't be read as CSV: .*line 3"),
        ("p.csv", b"question_id,output\n1\n", "1 of 1 rows have no output"),
        ("p.tsv", b"\xff\xfe\x00", "no UTF-8 text"),
        ("p.parquet", b"PAR1", "can't be read as Parquet"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AerieError, match=message):
        answered_rows(str(tmp_path / name), QUESTIONS)
    with pytest.raises(AerieError, match="file not found"):
        answered_rows(str(tmp_path / "none.csv"), QUESTIONS)


def test_an_empty_answer_is_one_where_the_format_or_the_user_says_so(file):
    rows = rows_of(*ALL, output="")
    assert [row.output for row in answered_rows(file("p.csv", rows), QUESTIONS, empty_ok=True)] == ["", "", ""]
    assert [row.output for row in answered_rows(file("p.jsonl", rows), QUESTIONS)] == ["", "", ""]


def test_rows_that_bring_their_questions_need_no_benchmark(file, tmp_path):
    own = {"benchmark": "mine", "rule": "choice", "prompt": "Which?", "output": "A", "question_id": 7.0}
    told = {"answers": ["A"], "options": [{"letter": "A", "text": "red"}], "facts": {"group": "g"}}
    expected = Answered(
        question_id="7", benchmark="mine", rule="choice", prompt="Which?", output="A", answers=("A",),
        options=(("A", "red"),), facts={"group": "g"},
    )  # fmt: skip
    assert answered_rows(file("p.jsonl", [own | told]), None) == [expected]
    as_text = {name: json.dumps(value) for name, value in told.items()}
    assert answered_rows(file("p.csv", [own | as_text | {"question_id": "7"}]), None) == [expected]
    plain = {**own, "answer": "[A] or B", "blind": False}
    assert answered_rows(file("q.csv", [plain, plain | {"blind": True}]), None)[0].answers == ("[A] or B",)
    stored = [predicted(question(1), "out", checkpoint="c"), predicted(question(1), "grey", checkpoint="c", blind=True)]
    (tmp_path / "s.parquet").write_bytes(predictions_parquet(stored))
    assert answered_rows(str(tmp_path / "s.parquet"), None) == [stored[0].answered()]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rule": ""}, "line 1 has no rule; add the column, or name the benchmark"),
        ({"benchmark": None}, "line 1 has no benchmark or source"),
        ({"answers": None}, "line 1 has no answer or answers"),
        ({"answers": 3}, "line 1 needs answers as a list of texts, it has 3"),
        ({"answers": "A"}, "line 1 has 'A' in column 'answers'; JSON was expected"),
        ({"options": ["A"]}, r"needs options as a list of \{letter, text\}, it has \['A'\]"),
        ({"facts": [1]}, r"needs facts as a JSON object, it has \[1\]"),
    ],
)
def test_rows_that_bring_too_little_are_named(file, changed, message):
    own = {"question_id": "1", "benchmark": "mine", "rule": "exact", "output": "A", "answers": ["A"]}
    with pytest.raises(AerieError, match=message):
        answered_rows(file("p.jsonl", [own | changed]), None)


def test_two_rows_of_one_question_are_named(file):
    own = {"question_id": "1", "benchmark": "mine", "rule": "exact", "output": "A", "answers": ["A"]}
    assert len(answered_rows(file("p.jsonl", [own, own | {"benchmark": "other"}]), None)) == 2
    with pytest.raises(AerieError, match="2 rows share their question with another row: line 1 'mine/1'"):
        answered_rows(file("p.jsonl", [own, own]), None)
