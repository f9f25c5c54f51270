"""One pair in canonical form."""

import pytest

from data.curation.formatting_pairs import PairFormatter, format_pair
from data.curation.instructions import INSTRUCTIONS
from data.settings.formatting import FormattingSettings

ON = FormattingSettings()
STANDARD = FormattingSettings(wording="standard")
BRIEF = INSTRUCTIONS["brief"]


def formed(task, question, answer, settings=ON):
    pair = format_pair(task, question, answer, settings)
    return pair.question, pair.answer


def test_the_switches():
    assert formed("open", "What is it? ", "**7.**", FormattingSettings(instructions=False)) == ("What is it?", "7")
    assert formed("open", "What is it?\nNumber only", "7", FormattingSettings(wording="full")) == (
        "What is it?\nAnswer with a number.",
        "7",
    )
    kept = format_pair("open", "What is it?", "**7**", FormattingSettings(strip_decorations=False))
    assert (kept.answer, kept.instruction) == ("**7**", BRIEF["phrase"])


def test_no_instruction_that_the_answer_breaks():
    assert formed("yes_no", "is it red?", "No, it is blue.")[0] == "is it red?"
    assert formed("value_at", "What is the price?", "twelve")[0] == "What is the price?"


def test_copied_text_keeps_its_marks():
    assert formed("line", "Read the text.", "Answer: **5**")[1] == "Answer: **5**"
    assert formed("first_word", "What is the first word?", "Yes.")[1] == "Yes."
    assert formed("dialogue", "So?", "The answer is 42.")[1] == "The answer is 42."
    assert formed("open", "<image>\nTranscribe the text.", '"**SALE**"')[1] == '"**SALE**"'
    assert formed("open", "What is on the sign?", '"**SALE**"')[1] == "SALE"


@pytest.mark.parametrize(
    ("question", "answer", "asked", "bare"),
    [
        ("Which is even?\nA. 3\nB. 4\nAnswer with the letter.", "**(B)**", "Which is even?\nA. 3\nB. 4", "B"),
        ("How long is it? Give a short answer.", "The answer is 12 cm.", "How long is it?", "12 cm"),
        ("Describe the scene.", "A man walks his dog along the shore. " * 5, "Describe the scene.", None),
        ("Where is the dog?", "[10, 20, 30, 40]", "Where is the dog?", "[10, 20, 30, 40]"),
        ("Turn it into JSON.", '```json\n{"a": 1}\n```', "Turn it into JSON.", '{"a": 1}'),
    ],
)
def test_the_standard_wording_follows_the_question(question, answer, asked, bare):
    pair = format_pair("open", question, answer, STANDARD)
    assert pair.question == f"{asked}\n{INSTRUCTIONS['standard'][pair.family]}"
    assert pair.answer == (answer.strip() if bare is None else bare)
    again = format_pair("open", pair.question, pair.answer, STANDARD)
    assert (again.question, again.answer, again.kinds) == (pair.question, pair.answer, ())


def test_a_recipe_names_the_family_of_its_own_tasks():
    settings = FormattingSettings(families={"mood": "phrase", "page": "transcription"})
    assert formed("mood", "Describe the mood.", "**calm**", settings) == (
        f"Describe the mood.\n{BRIEF['phrase']}",
        "calm",
    )
    assert formed("page", "What is there?", "**A**", settings)[1] == "**A**"


def test_a_pair_does_not_depend_on_what_came_before():
    formatter = PairFormatter(ON)
    pairs = [("open", "Is it?", "**Yes.**"), ("line", "Is it?", "**Yes.**"), ("open", "Read the text.", "**Yes.**")]
    first = [formatter(*pair) for pair in pairs]
    assert [PairFormatter(ON)(*pair) for pair in reversed(pairs)] == first[::-1]
    assert [pair.answer for pair in first] == ["yes", "**Yes.**", "**Yes.**"]


def test_an_instruction_comes_once_and_last():
    once = format_pair("yes_no", "<image>\nis it red?", "yes", ON)
    assert once.question == f"<image>\nis it red?\n{BRIEF['yes_no']}"
    assert once.kinds == ("instruction_yes_no",)
    again = format_pair("yes_no", once.question, "yes", ON)
    assert (again.question, again.kinds) == (once.question, ())
    assert formed("dialogue", "How are you?", "Well.") == ("How are you?", "Well.")
