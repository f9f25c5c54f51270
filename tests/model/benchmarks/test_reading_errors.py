"""Broken benchmark files: the message names file, row, column and what to do."""

import base64
import hashlib

import pytest
from benchmark_files import coded

from data.errors import AerieError
from model.evaluation.benchmarks.cards import benchmark_card
from model.evaluation.benchmarks.places import found, state

GOOD = {"index": 1, "image": coded(), "question": "What is it?", "A": "cat", "B": "dog", "answer": "B"}


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"index": 0}, "index", "line 2 already"),
        ({"index": ""}, "index", "empty or NaN"),
        ({"question": "nan"}, "question", "empty or NaN"),
        ({"answer": ""}, "answer", "test answers aren't public"),
        ({"answer": "NaN"}, "answer", "empty or NaN"),
        ({"answer": "C"}, "answer", "no letter of an option"),
        ({"image": ""}, "image", "no image"),
        ({"image": "7"}, "image", "index 7"),
        ({"image": "no_such_index"}, "image", "no_such_index"),
        ({"image": "not base64! " * 9}, "image", "neither base64"),
        ({"image": base64.b64encode(b"no picture at all " * 5).decode()}, "image", "cannot identify"),
        ({"question": "What is <image>?"}, "question", "mark of an image's place"),
        ({"question": "nul \0"}, "question", "NUL"),
    ],
)
def test_a_bad_row_is_told_by_file_line_and_column(tsv, asked, change, column, words):
    path = tsv("mmstar", {**GOOD, "index": 0}, {**GOOD, **change})
    with pytest.raises(AerieError) as caught:
        asked("mmstar", path)
    message = str(caught.value)
    assert f"'mmstar': MMStar.tsv, line 3, column '{column}': " in message
    assert words in message
    assert "get the file again" in message
    assert benchmark_card("mmstar").tsv.md5 in message


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("textvqa", {"answer": "nokia"}, "expected a list"),
        ("mmbench-v11", {"index": "a1"}, "no number"),
        ("hallusionbench", {"index": "VD_1", "l2-category": "map"}, "2 parts"),
        ("hallusionbench", {"index": "a_b_1_2_3_4", "l2-category": ""}, "'l2-category' is empty"),
        ("ocrbench", {"category": "nan"}, "'category' is empty"),
        ("mathvista", {"choices": "[]", "question_type": "multi_choice", "answer_type": "text"}, "0 options"),
        ("mathvista", {"choices": "['x']", "question_type": "multi_choice", "answer_type": "text"}, "no text of an"),
        (
            "mathvista",
            {"choices": "", "question_type": "free_form", "answer_type": "float", "precision": "two"},
            "'two' is no number",
        ),
        ("mmmu", {"split": "validation", "question": "See <image 2>."}, "image 2, the row has 1"),
    ],
)
def test_what_a_rule_needs_must_be_there(tsv, asked, name, change, words):
    with pytest.raises(AerieError, match=words):
        asked(name, tsv(name, {**GOOD, **change}))


def test_missing_columns_files_and_splits_are_told(tsv, asked, tmp_path):
    with pytest.raises(AerieError, match=r"no column \['answer'\].*opencompass"):
        asked("docvqa", tsv("docvqa", {"index": 1, "image": coded(), "question": "q"}))
    with pytest.raises(AerieError, match="can't be read"):
        asked("docvqa", tmp_path / "gone.tsv")
    with pytest.raises(AerieError, match="no question of the split 'validation'"):
        asked("mmmu", tsv("mmmu", {**GOOD, "split": "dev"}))
    with pytest.raises(AerieError, match="no wording 'own'"):
        asked("docvqa", tmp_path, wording="own")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no, it isn't")
    with pytest.raises(AerieError, match=r"x\.parquet.*get the file again"):
        asked("docvqa", tmp_path / "x.parquet")


def test_a_line_that_breaks_off_is_told(tsv, asked):
    path = tsv("docvqa", {**GOOD, "answer": "x"})
    path.write_bytes(path.read_bytes() + b"2\tabc\n")
    with pytest.raises(AerieError, match=r"DocVQA_VAL\.tsv, line 3: 2 cells under 6"):
        asked("docvqa", path)


def test_data_are_found_in_the_folder_or_below_their_name(tsv, parquet, tmp_path, asked):
    card = benchmark_card("docvqa")
    assert found(card, tmp_path) is None
    folder = parquet("docvqa", "DocVQA/test-0.parquet", {"questionId": "1"})
    assert found(card, tmp_path) is None, "the test split has no answers"
    row = {"questionId": "1", "question": "q", "image": None, "answers": ["a"]}
    parquet("docvqa", "DocVQA/validation-0.parquet", row)
    assert found(card, tmp_path) == folder
    path = tsv("docvqa", {**GOOD, "answer": "x"})
    assert found(card, tmp_path) == path
    path.rename(folder / path.name)
    assert found(card, tmp_path) == folder / path.name
    assert asked("docvqa", folder / path.name)[0].answers == ("x",)
    with pytest.raises(AerieError, match="not found"):
        found(card, tmp_path / "gone")


def test_a_file_is_compared_with_the_published_md5(tsv, tmp_path):
    path = tsv("docvqa", {**GOOD, "answer": "x"})
    card = benchmark_card("docvqa")
    assert state(card, path) == "another version"
    pinned = card.tsv.model_copy(update={"md5": hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()})
    assert state(card.model_copy(update={"tsv": pinned}), path) == "as published"
    assert state(card, tmp_path) == "unpinned"
