import pytest

from data.curation.answer_families import FAMILY_OF_TASK, family_of
from data.curation.instructions import INSTRUCTIONS, instruction_for, without_instruction
from data.settings.formatting import FormattingSettings

# What the tiny recipe's model learned on: it must not change.
LEARNED = {
    "yes_no": "Yes or no",
    "phrase": "Short phrase",
    "number": "Number only",
    "transcription": "Exact text",
    "letter": "Letter only",
    "free": "",
}


@pytest.mark.parametrize("wording", INSTRUCTIONS)
def test_families_differ_and_stay_short(wording):
    given = [text for family, text in INSTRUCTIONS[wording].items() if family != "free"]
    assert len({text.lower() for text in given}) == len(given)
    assert all(1 <= len(text.split()) <= {"brief": 3, "full": 7, "standard": 16}[wording] for text in given)
    assert INSTRUCTIONS[wording]["free"] == ""
    assert set(FAMILY_OF_TASK.values()) == set(INSTRUCTIONS[wording])


def test_the_default_wording_stays_as_it_was_learned():
    assert FormattingSettings().wording == "brief"
    assert {family: INSTRUCTIONS["brief"][family] for family in LEARNED} == LEARNED


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
        ("What is it?\nAnswer the question with a short phrase.", "What is it?"),
        ("What is it? Respond to this question using a single word.", "What is it?"),
        ("Is it red?\nPlease answer with 'yes' or 'no'.", "Is it red?"),
        ("Is it red? Answer with Yes/No.", "Is it red?"),
        ("Which?\nA. x\nB. y\nPlease select the correct answer from the options above.", "Which?\nA. x\nB. y"),
        ("Which?\nA. x\nB. y\nAnswer with only the letter.", "Which?\nA. x\nB. y"),
        ("What is 3 + 4? Let's think step by step.", "What is 3 + 4?"),
        ("What is it? Give a short answer.", "What is it?"),
        ("long " * 300 + "question? Answer yes or no.", ("long " * 300 + "question?")),
        ("Read the sign: answer yes or no is printed on it", "Read the sign: answer yes or no is printed on it"),
        (
            "The form says: give a short answer to each question.",
            "The form says: give a short answer to each question.",
        ),
    ],
)
def test_other_peoples_instructions(question, bare):
    assert without_instruction(question) == bare


@pytest.mark.parametrize("family", INSTRUCTIONS["full"])
@pytest.mark.parametrize("wording", INSTRUCTIONS)
def test_one_wording_gives_way_to_the_other(family, wording):
    instruction = instruction_for("What is it?", family, wording)
    assert instruction == INSTRUCTIONS[wording][family]
    assert without_instruction(f"<image>\nWhat is it?\n{instruction}") == "<image>\nWhat is it?"


def test_a_question_that_says_the_format_itself_gets_no_instruction():
    assert instruction_for("Describe the picture.", "detailed", "standard") == INSTRUCTIONS["standard"]["detailed"]
    assert instruction_for("Describe the picture in great detail.", "detailed", "standard") == ""
    assert instruction_for("Solve it and show your work.", "reasoning", "standard") == ""
    assert instruction_for("Give a short caption.", "sentence", "full") == ""
    assert instruction_for("Is every detail red?", "yes_no", "full") == INSTRUCTIONS["full"]["yes_no"]


def test_families_of_a_recipe_join_the_known_ones():
    known = {**FAMILY_OF_TASK, "mood": "phrase"}
    assert family_of("mood", "Describe the mood.", "calm", known) == "phrase"
    assert family_of("mood", "Describe the mood.", "calm") == "free"
