import pytest

from data.curation.instructions import (
    FAMILY_OF_TASK,
    INSTRUCTIONS,
    canonical_answer,
    family_of,
    fits,
    verbatim,
    with_instruction,
    without_instruction,
)
from data.registry.adapters.easy_vqa import task_of

OPTIONS = "Which gas do plants take in?\nA. oxygen\nB. carbon dioxide"


@pytest.mark.parametrize("wording", INSTRUCTIONS)
def test_families_differ_and_stay_short(wording):
    given = [text for family, text in INSTRUCTIONS[wording].items() if family != "free"]
    assert len(set(given)) == len(given)
    assert all(1 <= len(text.split()) <= 7 for text in given)
    assert INSTRUCTIONS[wording]["free"] == ""
    assert set(FAMILY_OF_TASK.values()) == set(INSTRUCTIONS[wording])


def test_declared_tasks_have_one_family_whatever_is_asked():
    assert family_of(task_of("yes"), "is it red?", "yes") == "yes_no"
    assert family_of(task_of("red"), "what color is it?", "red") == "phrase"
    assert family_of("max", "Which year has the highest price?", "1999") == "phrase"
    assert family_of("value_at", "What is the price for 1999?", "12.5") == "number"
    assert family_of("line", "Read the text.", "yes") == "transcription"
    assert family_of("dialogue", "Are you well?", "yes") == "free"


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
        ("What is on the table?", "a red cup", "phrase"),
        ("What is on the table?", "There is a red cup, and beside it a plate.", "free"),
        ("Describe the picture.", "A red cup.", "free"),
        ("How are you?", "Great!", "free"),
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
        ("phrase", "U.S.", "U.S."),
        ("transcription", "Yes.", "Yes."),
        ("free", "No.", "No."),
    ],
)
def test_canonical_answers(family, answer, canonical):
    assert canonical_answer(family, answer) == canonical
    assert canonical_answer(family, canonical) == canonical


def test_an_instruction_that_the_answer_breaks_does_not_fit():
    assert fits("yes_no", "no")
    assert not fits("yes_no", "no, it is blue")
    assert fits("number", "-1,200.5 %")
    assert not fits("number", "twelve")
    assert fits("letter", "B")
    assert not fits("letter", "carbon dioxide")
    assert fits("phrase", "dark blue")
    assert not fits("phrase", "it is the one on the left")
    assert fits("transcription", "it is the one on the left")
    assert not fits("free", "hello")


@pytest.mark.parametrize(
    ("question", "bare"),
    [
        ("What is it? Answer the question using a single word or phrase.", "What is it?"),
        ("What is it?\nAnswer with one word.", "What is it?"),
        ("Is it red? Please answer yes or no.", "Is it red?"),
        ("Which?\nA. x\nB. y\nAnswer with the option's letter from the given choices directly.", "Which?\nA. x\nB. y"),
        ("<image>\nHow many? Answer with a single number", "<image>\nHow many?"),
        ("Can you answer with one word?", "Can you answer with one word?"),
        ("Can you answer with one word", "Can you answer with one word"),
        ("Answer yes or no.", "Answer yes or no."),
        ("<image>\nAnswer yes or no.", "<image>\nAnswer yes or no."),
        ("Is it red, yes or no", "Is it red, yes or no"),
        ("What is it?", "What is it?"),
    ],
)
def test_other_peoples_instructions(question, bare):
    assert without_instruction(question) == bare


def test_an_instruction_comes_once_and_last():
    once = with_instruction("<image>\nis it red?", "yes_no")
    assert once == f"<image>\nis it red?\n{INSTRUCTIONS['brief']['yes_no']}"
    assert with_instruction(once, "yes_no") == once
    assert with_instruction("How are you?", "free") == "How are you?"


@pytest.mark.parametrize("family", INSTRUCTIONS["full"])
@pytest.mark.parametrize("wording", INSTRUCTIONS)
def test_one_wording_gives_way_to_the_other(family, wording):
    asked = with_instruction("<image>\nWhat is it?", family, wording)
    assert asked.endswith(INSTRUCTIONS[wording][family])
    assert without_instruction(asked) == "<image>\nWhat is it?"


def test_copied_text_and_conversation_are_verbatim():
    assert [task for task in FAMILY_OF_TASK if verbatim(task)] == ["first_word", "last_word", "line", "dialogue"]
    assert not verbatim("open")
