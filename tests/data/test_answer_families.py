"""Families are told by task, else by question and answer; canonical answers obey their family's instruction."""

import pytest

from data.curation.answer_families import (
    COPIED_FAMILIES,
    FAMILY_OF_TASK,
    canonical_answer,
    family_of,
    fits,
    verbatim,
)
from data.registry.adapters.easy_vqa import task_of

OPTIONS = "Which gas do plants take in?\nA. oxygen\nB. carbon dioxide"
TABLE = "| a | b |\n| --- | --- |\n| 1 | 2 |"
LONG = " ".join(["A red cup stands on the table beside a plate of fruit."] * 4)
STEPS = "First we add three and four, which gives seven. Then we double the seven and get fourteen. The answer is 14."


def test_declared_tasks_have_one_family_whatever_is_asked():
    assert family_of(task_of("yes"), "is it red?", "yes") == "yes_no"
    assert family_of(task_of("red"), "what color is it?", "red") == "phrase"
    assert family_of("max", "Which year has the highest price?", "1999") == "phrase"
    assert family_of("value_at", "What is the price for 1999?", "12.5") == "number"
    assert family_of("line", "Read the text.", "yes") == "transcription"
    assert family_of("dialogue", "Are you well?", "yes") == "free"
    assert family_of("caption", "Write a caption.", "A red cup on a table.") == "sentence"
    assert family_of("caption", "Write a caption.", LONG) == "detailed"


@pytest.mark.parametrize(
    ("question", "answer", "family"),
    [
        (OPTIONS, "B", "letter"),
        (OPTIONS, "(b).", "letter"),
        (OPTIONS, "carbon dioxide", "phrase"),
        ("Is it raining?", "No.", "yes_no"),
        ("What does the sign say?", "No", "phrase"),
        ("How many dogs are there?", "3", "number"),
        ("How many dogs are there?", "3.", "number"),
        ("What is the price?", "$1,200.50", "number"),
        ("How long is the side?", "12 cm", "quantity"),
        ("How fast is it?", "3.5 m/s.", "quantity"),
        ("What is on the table?", "a red cup", "phrase"),
        ("What is on the table?", "There is a red cup, and beside it a plate.", "free"),
        ("Describe the picture.", "A red cup.", "free"),
        ("How are you?", "Great!", "free"),
        ("<image>\nDescribe the picture.", LONG, "detailed"),
        ("Why is the sky blue?", LONG, "free"),
        ("<image>\nPlease read the text in this image.", "STOP", "transcription"),
        ("<image>\nTranscribe the handwritten line.", "It is a long way home, said he.", "transcription"),
        ("Where is the dog?", "[10, 20, 300, 400]", "box"),
        ("Point at the nose.", "(10, 20)", "point"),
        ("Give the fields as JSON.", '{"total": "12.00", "date": "1999"}', "json"),
        ("Turn the chart into a table.", TABLE, "table"),
        ("What is on the table?", "- a cup\n- a plate\n- a fork", "list"),
        ("Write the page as code.", "```html\n<p>x</p>\n```", "code"),
        ("Write the formula in LaTeX.", r"\frac{a}{b} + c^2", "latex"),
        ("What is the sum?", r"\frac{a}{b} + c^2", "free"),
        ("What is twice the sum of 3 and 4?", STEPS, "reasoning"),
    ],
)
def test_undeclared_tasks_are_told_by_question_and_answer(question, answer, family):
    assert family_of("open", question, answer) == family


@pytest.mark.parametrize(
    ("family", "answer", "canonical"),
    [
        ("yes_no", "Yes.", "yes"),
        ("yes_no", "NO", "no"),
        ("yes_no", "No, it is blue.", "No, it is blue."),
        ("letter", "(b).", "B"),
        ("letter", "Option C", "C"),
        ("letter", "carbon dioxide", "carbon dioxide"),
        ("number", "12.", "12"),
        ("number", "12.5", "12.5"),
        ("number", "about 12.", "about 12."),
        ("quantity", "12 cm.", "12 cm"),
        ("phrase", "U.S.", "U.S."),
        ("transcription", "Yes.", "Yes."),
        ("json", '```json\n{"a": 1}\n```', '{"a": 1}'),
        ("table", f"```markdown\n{TABLE}\n```", TABLE),
        ("latex", "```latex\nx^2\n```", "x^2"),
        ("json", "```python\n{}\n```", "```python\n{}\n```"),
        ("code", "```python\nx = 1\n```", "```python\nx = 1\n```"),
        ("free", "No.", "No."),
    ],
)
def test_canonical_answers(family, answer, canonical):
    assert canonical_answer(family, answer) == canonical
    assert canonical_answer(family, canonical) == canonical


@pytest.mark.parametrize(
    ("family", "obeys", "breaks"),
    [
        ("yes_no", "no", "no, it is blue"),
        ("number", "-1,200.5 %", "twelve"),
        ("quantity", "12 cm", "a few cm"),
        ("letter", "B", "carbon dioxide"),
        ("phrase", "dark blue", "it is the one on the left"),
        ("sentence", "A red cup on a table.", LONG),
        ("list", "1. a cup\n2. a plate", "a cup and a plate"),
        ("items", "cat, dog, sofa, red lamp, old chair", "- cat\n- dog"),
        ("box", "[1, 2, 30, 40]", "at the left"),
        ("box", "<ref>cat</ref><box>[[1, 2, 30, 40], [3, 4, 5, 6]]</box>", "<ref>cat</ref><box>[[1, 2]]</box>"),
        ("point", "<ref>nose</ref><box>[[12, 30]]</box>", "<ref>cat</ref><box>[[1, 2, 30, 40]]</box>"),
        ("explained", "It is red because it is ripe.", "red"),
        ("json", '[{"a": 1}]', "{a: 1}"),
        ("table", TABLE, "<table><tr><td>1</td></tr></table>"),
        ("markdown", "# Title\n\nText.", "STOP"),
        ("latex", r"\frac{1}{2}", "The area is one half of the base times the height."),
        ("detailed", LONG, "a cup"),
        ("reasoning", STEPS, "14"),
    ],
)
def test_an_instruction_that_the_answer_breaks_does_not_fit(family, obeys, breaks):
    assert fits(family, obeys)
    assert not fits(family, breaks)


def test_copied_text_fits_whatever_it_says_and_talk_gets_no_instruction():
    assert fits("transcription", "it is the one on the left")
    assert fits("code", "x = 1")
    assert not fits("free", "hello")


def test_copied_text_data_and_conversation_are_verbatim():
    kept = {task for task in FAMILY_OF_TASK if verbatim(task)}
    assert {"first_word", "last_word", "line", "dialogue", "json", "table", "code"} <= kept
    assert all(FAMILY_OF_TASK[task] in COPIED_FAMILIES for task in kept - {"first_word", "last_word"})
    assert not verbatim("formula")
    assert not verbatim("open")


@pytest.mark.parametrize(
    "question",
    [
        "Is it red?",
        "<image>\nIs it red?",
        "<image> Is it red?",
        "It is big. Is it red?",
        "What? Is it red?",
        "Is it red? Say so.",
    ],
)
def test_a_yes_no_question_is_one_wherever_it_stands(question):
    assert family_of("open", question, "yes") == "yes_no"
    assert family_of("open", question.replace("Is it red", "What is red"), "yes") != "yes_no"
