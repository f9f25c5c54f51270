"""Benchmarks out of the Parquet copies on the Hub, with the columns that those have."""

import pytest
from raw_files import png as picture

from data.errors import AerieError


def test_documents_and_infographics_lie_side_by_side(parquet, asked):
    row = {"questionId": "49153", "question": "Which year?", "image": picture(1), "answers": ["1998", "98"]}
    folder = parquet("docvqa", "DocVQA/validation-00000-of-00001.parquet", row)
    parquet("docvqa", "DocVQA/test-00000-of-00001.parquet", {**row, "questionId": "1", "answers": None})
    parquet("docvqa", "InfographicVQA/validation-00000-of-00001.parquet", {**row, "questionId": "2"})
    assert [(q.question_id, q.answers) for q in asked("docvqa", folder)] == [("docvqa/49153", ("1998", "98"))]
    assert [question.question_id for question in asked("infovqa", folder)] == ["infovqa/2"]


def test_rows_without_a_name_are_told_by_their_place(parquet, asked):
    rows = [{"type": "human", "question": f"q{n}", "answer": str(n), "image": picture(n)} for n in range(3)]
    found = asked("chartqa", parquet("chartqa", "data/test-00000-of-00001.parquet", *rows))
    assert [question.question_id for question in found] == [
        f"chartqa/data/test-00000-of-00001.parquet:{n}" for n in range(3)
    ]
    assert found[2].facts == {"part": "human"}
    assert found[2].images[0].bytes == picture(2)


def test_textvqa_and_ocrbench_have_real_lists(parquet, asked):
    row = {"question": "What?", "image": picture()}
    path = parquet(
        "textvqa", "data/validation-00000-of-00001.parquet", {**row, "question_id": 5, "answers": ["a"] * 10}
    )
    assert asked("textvqa", path)[0].answers == ("a",) * 10
    path = parquet(
        "ocrbench", "data/test-0.parquet", {**row, "question_type": "Doc-oriented VQA", "answer": ["x", "y"]}
    )
    found = asked("ocrbench", path)[0]
    assert (found.answers, found.facts) == (("x", "y"), {"type": "Doc-oriented VQA"})


def test_ai2d_names_the_answer_by_its_number(parquet, asked):
    row = {"question": "Which?", "options": ["1", "2", "3"], "answer": "1", "image": picture()}
    found = asked("ai2d", parquet("ai2d", "data/test-0.parquet", row))[0]
    assert found.answers == ("B",)
    assert found.options == (("A", "1"), ("B", "2"), ("C", "3"))


def test_mmmu_has_a_column_for_each_image(parquet, asked):
    row = {"id": "validation_Art_1", "question": "Is <image 2> <image 1>?", "options": "['yes', \"it's not\"]"}
    row |= {"answer": "B", "subfield": "Painting", "image_1": picture(1), "image_2": picture(2), "image_3": None}
    images = ("image_1", "image_2")
    folder = parquet("mmmu", "Art/validation-00000-of-00001.parquet", row, images=images)
    opened = {**row, "id": "validation_Math_1", "options": "[]", "answer": "5"}
    parquet("mmmu", "Math/validation-00000-of-00001.parquet", opened, images=images)
    first, second = asked("mmmu", folder)
    assert first.prompt.startswith("Is <image> <image>?\nA. yes\nB. it's not\n")
    assert [image.bytes for image in first.images] == [picture(2), picture(1)]
    assert (second.answers, second.facts["question_type"]) == (("5",), "open")


def test_hallusionbench_says_yes_by_a_number(parquet, asked):
    row = {"category": "VS", "subcategory": "chart", "set_id": "4", "figure_id": "1", "question_id": "0"}
    row |= {"question": "Is it?", "image": picture(), "gt_answer": "1"}
    folder = parquet("hallusionbench", "data/image-0.parquet", row, {**row, "question_id": "1", "gt_answer": "0"})
    parquet("hallusionbench", "data/non_image-0.parquet", {**row, "image": None})
    first, second = asked("hallusionbench", folder)
    assert (first.answers, second.answers) == (("Yes",), ("No",))
    ids = {"set_id": "4", "figure_id": "1", "question_id": "1"}
    assert second.facts == {**ids, "category": "VS", "subcategory": "chart"}
    folder = parquet("hallusionbench", "data/image-0.parquet", {**row, "gt_answer": "2"})
    with pytest.raises(AerieError, match=r"row 0, column 'gt_answer'.*'2'"):
        asked("hallusionbench", folder)


def test_mathvista_asks_its_query(parquet, asked):
    row = {"pid": "1", "question": "How long?", "query": "Hint: ...\nQuestion: How long?", "image": "images/1.jpg"}
    row |= {"decoded_image": picture(), "choices": None, "unit": None, "precision": 2.0, "answer": "1.25"}
    row |= {"question_type": "free_form", "answer_type": "float"}
    folder = parquet("mathvista", "data/testmini-0.parquet", row, images=("decoded_image",))
    found = asked("mathvista", folder)[0]
    assert found.prompt == "<image>\nHint: ...\nQuestion: How long?"
    assert (found.facts["precision"], found.facts["unit"], found.answers) == (2.0, None, ("1.25",))


def test_mmvet_has_abilities(parquet, asked):
    row = {"question_id": "v1_0", "question": "What?", "answer": "x", "image": picture(), "capability": "ocr,math"}
    found = asked("mmvet", parquet("mmvet", "data/test-0.parquet", row))[0]
    assert found.facts == {"capability": "ocr,math"}


def test_a_benchmark_whose_parquet_is_not_read_says_what_is(parquet, asked):
    row = {"index": 1, "question": "What?\nOptions: A: x", "answer": "A", "image": picture()}
    folder = parquet("mmstar", "mmstar.parquet", row)
    with pytest.raises(AerieError, match=r"MMStar\.tsv"):
        asked("mmstar", folder / "mmstar.parquet")
