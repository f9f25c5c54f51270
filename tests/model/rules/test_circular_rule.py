"""One copy under CircularEval; groups stand in test_summaries.py. Letters: (eagle2, vlmevalkit, lmms-eval)."""

import pytest

from data.errors import AerieError
from model.evaluation.rules import RULE_SETS, verdict

COLOURS = ("red", "blue", "green", "light red")
GUESS = "?"

LETTERS = [
    ("B", "B", "B", "B"),
    ("B.", "B", "B", "B"),
    ("B,", "B", "B", "B"),
    ("B:", "B", "B", "B"),
    ("B)", "B", "B", "B"),
    ("B).", "B", "B", "B"),
    ("(B)", "B", "B", "B"),
    ("(B).", "B", "B", "B"),
    (":B", "B", "B", "B"),
    ("Answer :B.", "B", "B", "B"),
    ("[B]", "B", "B", GUESS),  # circular/bracket
    ("**B**", "B", "B", GUESS),
    ("B!", "B", "B", GUESS),
    ("{B}", "B", "B", GUESS),
    ("#B", "B", "B", GUESS),
    ("b", "B", "", GUESS),
    ("(b)", "B", "", GUESS),
    ("B. blue", "B", "B", "B"),
    ("B blue", "B", "B", "B"),
    ("The answer is B", "B", "B", "B"),
    ("The answer is B.", "B", "B", "B"),
    ("The answer is (B).", "B", "B", "B"),
    ("B, since A is not valid", "B", "", "B"),  # "A" in many words is an article to lmms-eval, "B," is then read
    ("B is it and A is not", "B", "", GUESS),
    ("A", "A", "A", "A"),
    ("A.", "A", "A", "A"),
    ("A red car", "A", "A", "A"),
    ("A car drives here", "", "A", GUESS),
    ("A car drives down the road", "", "", GUESS),
    ("A red car drives here", "A", "A", "A"),
    ("It is A.", "A", "A", "A"),
    ("I choose option A", "A", "A", GUESS),  # lmms-eval skips "A" among more than three words
    ("blue", "B", "B", "B"),
    ("Blue", "B", "B", "B"),
    ("It is blue.", "B", "B", "B"),
    ("It is blue. " * 9, "B", "", "B"),  # circular/long-text
    ("bluish", "", "", GUESS),
    ("blueish", "", "B", "B"),
    ("light red", "D", "", GUESS),
    ("red and blue", "", "", GUESS),
    ("E", "", "", "E"),  # lmms-eval reads five letters
    ("Cannot tell", "", "", GUESS),
    ("I cannot say", "", "", GUESS),
    ("", "", "", ""),
]


@pytest.mark.parametrize(("output", "eagle2", "vlmevalkit", "lmms"), LETTERS)
def test_copy(answered, output, eagle2, vlmevalkit, lmms):
    row = answered("circular", output, "B", COLOURS, {"group": "g"})
    verdicts = [verdict(row, rules) for rules in RULE_SETS]
    guessed = verdicts[2].note == "guessed by the question's id"
    assert [one.found for one in verdicts[:2]] == [eagle2, vlmevalkit]
    assert guessed if lmms == GUESS else (verdicts[2].found, guessed) == (lmms, False)
    assert [one.value for one in verdicts] == [one.found == "B" for one in verdicts]


def test_group_is_needed(answered):
    with pytest.raises(AerieError, match=r"'q' of 'bench'.*'group'"):
        verdict(answered("circular", "B", "B", COLOURS), "vlmevalkit")
