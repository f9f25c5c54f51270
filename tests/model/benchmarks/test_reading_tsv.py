"""Every benchmark out of the TSV that VLMEvalKit publishes: prompts, answers, options, facts, images."""

import pytest
from benchmark_files import coded
from raw_files import png as picture

DIRECT = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."


def only(questions):
    assert len(questions) == 1
    return questions[0]


@pytest.mark.parametrize("name", ["docvqa", "infovqa"])
def test_documents_have_a_list_of_answers_in_one_cell(tsv, asked, name):
    record = {"index": 7, "image": coded(), "question": "Which year?", "answer": "['1998', \"in '98\"]"}
    found = only(asked(name, tsv(name, record, {**record, "index": 8, "answer": "TRUE"}))[:1])
    assert (found.question_id, found.source, found.rule) == (f"{name}/7", name, "anls")
    assert found.prompt == f"<image>\nWhich year?\n{DIRECT}"
    assert found.answers == ("1998", "in '98")
    assert found.answer == "1998"
    assert [image.bytes for image in found.images] == [picture()]
    assert found.image_key == found.images[0].content_hash()


def test_chartqa_reads_lists_only_where_they_are_lists(tsv, asked):
    record = {"index": 0, "image": coded(), "question": "How many?", "split": "test_human"}
    answers = ["14", "['0.57']", "[Germany, France]", "nan years"]
    path = tsv("chartqa", *[{**record, "index": n, "answer": answer} for n, answer in enumerate(answers)])
    found = asked("chartqa", path)
    assert [question.answers for question in found] == [("14",), ("0.57",), ("[Germany, France]",), ("nan years",)]
    assert found[0].facts == {"part": "test_human"}
    assert found[0].rule == "relaxed"


def test_textvqa_keeps_ten_answers(tsv, asked):
    ten = ["nokia"] * 6 + ["toshiba", "nokia 3310", "", "answering does not require reading text in the image"]
    record = {"index": 1, "image": coded(), "question": "What brand?", "answer": repr(ten)}
    found = only(asked("textvqa", tsv("textvqa", record)))
    assert found.answers == tuple(ten)
    assert found.rule == "vqa"


def test_ocrbench_knows_the_type(tsv, asked):
    kind = "Handwritten Mathematical Expression Recognition"
    record = {"index": 1, "image": coded(), "question": "Write it in LaTeX.", "answer": r"['\\frac { 1 } { 2 }']"}
    path = tsv("ocrbench", {**record, "category": kind})
    found = only(asked("ocrbench", path))
    assert found.answers == (r"\frac { 1 } { 2 }",)
    assert found.facts == {"type": kind}
    assert only(asked("ocrbench", path, wording="vlmevalkit")).prompt == "<image>\nWrite it in LaTeX."


@pytest.mark.parametrize("name", ["mmstar", "realworldqa", "ai2d"])
def test_choices_are_lettered_lines(tsv, asked, name):
    record = {"index": 3, "image": coded(), "question": "What is it?", "A": "cat", "B": "nan", "C": "cow", "D": ""}
    path = tsv(name, {**record, "answer": "C", "hint": "Look\nclosely.", "category": "animals"})
    found = only(asked(name, path))
    assert found.options == (("A", "cat"), ("C", "cow"))
    assert found.answers == ("C",)
    assert (found.rule, found.task) == ("choice", "multiple_choice")
    assert found.prompt == f"<image>\nLook\nclosely.\nWhat is it?\nA. cat\nC. cow\n{LETTER}"
    listed = "Options:\nA. cat\nC. cow\nPlease select the correct answer from the options above. \n"
    vlmevalkit = f"<image>\nHint: Look\nclosely.\nQuestion: What is it?\n{listed}"
    assert only(asked(name, path, wording="vlmevalkit")).prompt == vlmevalkit


def test_realworldqa_without_options_is_scored_by_the_word(tsv, asked):
    record = {"index": 3, "image": coded(), "question": "How many signs?", "A": "", "B": "", "answer": "2"}
    found = only(asked("realworldqa", tsv("realworldqa", record)))
    assert (found.rule, found.answers, found.options, found.task) == ("exact", ("2",), (), "open")
    assert found.prompt.endswith("How many signs?\nAnswer the question directly.")


def test_mmmu_places_its_images_where_the_text_names_them(tsv, asked):
    record = {"index": 1, "image": f"['{coded(1)}', '{coded(2)}', '{coded(3)}']", "split": "validation"}
    record |= {"image_path": "['a.jpg', 'b.jpg', 'c.jpg']", "category": "Art", "l2-category": "Art & Design"}
    choice = {"question": "Which is <image 2>?", "A": "like <image 1>", "B": "like <image 2>", "answer": "B"}
    opened = {"index": 2, "question": "How far?", "answer": "['24/7', '3.429']"}
    path = tsv("mmmu", {**record, **choice}, {**record, **opened}, {**record, **choice, "index": 9, "split": "dev"})
    first, second = asked("mmmu", path)
    assert first.prompt == f"<image>\nWhich is <image>?\nA. like <image>\nB. like <image>\n{LETTER}"
    assert [image.bytes for image in first.images] == [picture(3), picture(2), picture(1), picture(2)]
    assert first.facts == {"question_type": "multiple-choice", "category": "Art", "l2_category": "Art & Design"}
    assert second.facts["question_type"] == "open"
    assert second.answers == ("24/7", "3.429")
    assert len(second.images) == 3


def test_mmbench_groups_its_rotated_copies_which_share_an_image(tsv, asked):
    record = {"index": 241, "image": coded(5), "question": "Which?", "category": "ocr", "l2-category": "fine"}
    path = tsv(
        "mmbench-v11",
        {**record, "A": "x", "B": "y", "answer": "A"},
        {**record, "index": 1_000_241, "image": 241, "A": "y", "B": "x", "answer": "B"},
        {**record, "index": 242, "A": "x", "B": "y", "answer": "B"},
    )
    found = asked("mmbench-v11", path)
    assert [question.facts["group"] for question in found] == ["241", "241", "242"]
    assert [question.question_id.split("/")[1] for question in found] == ["241", "1000241", "242"]
    assert [question.answers for question in found] == [("A",), ("B",), ("B",)]
    assert found[1].images[0].bytes == picture(5)


def test_mmvet_keeps_its_marks_and_abilities(tsv, asked):
    record = {
        "index": "v1_0",
        "image": coded(),
        "question": "What is x?",
        "answer": "-1<AND>-5",
        "category": "ocr,math",
    }
    found = only(asked("mmvet", tsv("mmvet", record)))
    assert found.answers == ("-1<AND>-5",)
    assert found.facts == {"capability": "ocr,math"}
    assert found.prompt == "<image>\nWhat is x?"


def test_hallusionbench_reads_its_index_and_leaves_out_questions_without_an_image(tsv, asked):
    record = {"category": "VD", "l2-category": "illusion", "question": "Same size?"}
    path = tsv(
        "hallusionbench",
        {**record, "index": "VD_illusion_0_0_0_0", "image": "", "answer": "Yes"},
        {**record, "index": "VD_illusion_1_0_1_0", "image": coded(4), "answer": "Yes"},
        {**record, "index": "VD_illusion_2_3_2_1", "image": "VD_illusion_1_0_1_0", "answer": "No"},
    )
    first, second = asked("hallusionbench", path)
    ids = {"set_id": "3", "figure_id": "2", "question_id": "1"}
    assert second.facts == {**ids, "category": "VD", "subcategory": "illusion"}
    assert (first.answers, second.answers) == (("Yes",), ("No",))
    assert first.answer_type == "yes_no"
    assert second.images[0].bytes == picture(4)
    assert first.prompt.endswith(f"Same size? Please answer yes or no. {DIRECT}")


def test_mathvista_knows_what_kind_of_answer_is_wanted(tsv, asked):
    text = "Hint: Please answer with the option letter.\nQuestion: Which?\nChoices:\n(A) 3/11\n(B) 8/11"
    multiple = {"question_type": "multi_choice", "answer_type": "text", "choices": "['3/11', '8/11']"}
    free = {"question_type": "free_form", "answer_type": "float", "choices": "None", "precision": "1.0", "unit": "cm"}
    path = tsv(
        "mathvista",
        {"index": 1, "image": coded(), "question": text, "answer": "8/11", **multiple},
        {"index": 2, "image": coded(), "question": "How long?", "answer": "1.2", **free},
    )
    first, second = asked("mathvista", path)
    assert first.prompt == f"<image>\n{text}"
    assert first.options == (("A", "3/11"), ("B", "8/11"))
    assert first.answers == ("B",)
    assert first.facts["precision"] is None
    kind = {"question_type": "free_form", "answer_type": "float", "precision": 1.0, "unit": "cm"}
    assert second.facts == {**kind, "category": None}
