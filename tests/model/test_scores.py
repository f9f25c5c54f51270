import pytest

from model.evaluation.predictions import Prediction
from model.evaluation.scores import aggregate, read_cells, scores_document


def prediction(source, task, answer, output, *, majority="no", blind=False, kind="open", category="general_vqa"):
    return Prediction(
        question_id="q",
        sample_id="s",
        source=source,
        category=category,
        task=task,
        answer_type=kind,
        prompt="?",
        answer=answer,
        output=output,
        majority=majority,
        blind=blind,
        checkpoint="c",
        rule="exact",
        answers=(answer,),
    )


# By hand: shapes has 3 yes/no questions (2 right, majority 1 right, blind 1 of 3) and 1 open one (right, blind wrong).
ROWS = [
    prediction("shapes", "yes_no", "yes", "yes", kind="yes_no"),
    prediction("shapes", "yes_no", "yes", "no", kind="yes_no"),
    prediction("shapes", "yes_no", "no", "no", kind="yes_no"),
    prediction("shapes", "color", "red", "Red.", majority="blue"),
    prediction("shapes", "yes_no", "yes", "no", kind="yes_no", blind=True),
    prediction("shapes", "yes_no", "yes", "no", kind="yes_no", blind=True),
    prediction("shapes", "yes_no", "no", "no", kind="yes_no", blind=True),
    prediction("shapes", "color", "red", "blue", majority="blue", blind=True),
    prediction("lines", "line", "license", "licence", majority="the", category="naive_ocr"),
]


def cells(level):
    return {(cell.group, cell.answer_type): cell for cell in aggregate(ROWS) if cell.level == level}


def test_scores_per_source_with_yes_no_and_open_apart():
    found = cells("source")
    assert set(found) == {("shapes", "all"), ("shapes", "yes_no"), ("shapes", "open"), ("lines", "all")}
    whole = found["shapes", "all"]
    assert (whole.questions, whole.score, whole.majority) == (4, 0.75, 0.25)
    assert (whole.blind, whole.blind_questions) == (0.25, 4)
    yes_no = found["shapes", "yes_no"]
    assert (yes_no.questions, yes_no.score, yes_no.majority) == (3, pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert yes_no.blind == pytest.approx(1 / 3)
    assert (found["shapes", "open"].score, found["shapes", "open"].blind) == (1.0, 0.0)


def test_the_task_metric_and_exact_match_stand_side_by_side():
    line = cells("source")["lines", "all"]
    assert line.metrics == ("anls",)
    assert (line.score, line.exact) == (pytest.approx(6 / 7), 0.0)
    assert (line.blind, line.blind_questions) == (None, 0)


def test_categories_and_tasks_are_levels_of_their_own():
    assert {group for group, _ in cells("category")} == {"general_vqa", "naive_ocr"}
    assert {group for group, _ in cells("task")} == {"shapes/yes_no", "shapes/color", "lines/line"}


def test_blind_rows_never_count_as_sighted():
    assert aggregate([row for row in ROWS if row.blind]) == []


def test_the_document_reads_back_as_cells():
    document = scores_document("stage_2", "c", ROWS, None)
    assert (document["questions"], document["blind_questions"]) == (5, 4)
    assert {cell.group for cell in read_cells(document, "source")} == {"shapes", "lines"}
