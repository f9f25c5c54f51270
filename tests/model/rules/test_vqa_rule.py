"""VQA soft accuracy. Expected: one value, or (eagle2, vlmevalkit, lmms-eval)."""

import pytest

from data.errors import AerieError
from model.evaluation.rules import verdict

COUNTS = [  # matches among ten annotators -> mean over leave-one-out
    (0, 0),
    (1, (1 * 0 + 9 * 1 / 3) / 10),
    (2, (2 * 1 / 3 + 8 * 2 / 3) / 10),
    (3, (3 * 2 / 3 + 7 * 1) / 10),
    (4, 1),
    (5, 1),
    (9, 1),
    (10, 1),
]

SAME = [  # (output, what all ten annotators wrote, expected)
    ("stop", "stop", 1),
    ("Stop", "stop", 1),
    ("STOP.", "stop", 1),
    ("stop!", "stop", 1),
    ("the stop", "stop", 1),
    ("a stop", "an stop", 1),
    ("stop the", "stop", 1),
    ("two", "2", 1),
    ("2", "two", 1),
    ("ten", "10", 1),
    ("eleven", "11", 0),
    ("none", "0", 1),
    ("none", "zero", 1),
    ("dont", "don't", 1),
    ("cant stop", "can't stop", 1),
    ("couldntve", "couldn't've", 0),  # only listed spellings are known
    ("couldn'tve", "couldn't've", 1),
    ("its", "it's", 0),
    ("hows", "how's", (0, 1, 0)),  # vqa/possessive: the reference becomes "how 's", the output "how's"
    ("joe's", "joe 's", (1, 0, 1)),  # vqa/possessive
    ("joe's bar", "joe's bar", 1),
    ("red,white", "red white", (0, 1, 0)),  # vqa/comma
    ("red,white", "redwhite", (1, 0, 1)),
    ("red, white", "red white", 1),
    ("1,000", "1000", 1),
    ("1,000 kg/h", "1000 kgh", (0, 1, 0)),  # a comma between digits deletes every mark
    ("1,000 kg/h", "1000 kg h", (1, 0, 1)),
    ("3.5", "3.5", 1),
    ("3.5.", "3.5", 1),
    (".5", ".5", 1),
    ("a.b", "ab", 1),
    ("coca-cola", "coca cola", 1),
    ("coca - cola", "coca cola", 1),
    ("coca-cola", "cocacola", 0),
    ("what?no", "what no", (0, 1, 0)),  # lmms-eval deletes question marks first
    ("what?no", "whatno", (1, 0, 1)),
    ("new\nline", "new line", 1),
    ("tab\tbed", "tab bed", 1),
    ("  stop  ", "stop", 1),
    ("50%", "50%", 1),
    ("50%", "50", 0),
    ("(stop)", "stop", 1),
    ('"stop"', "stop", 1),
    ("$5", "$5", 1),
    ("stop sign", "stop", 0),
    ("", "stop", 0),
    ("x" + "." * 33, "x" + "." * 32 + ".", 1),
    ("x" + "." * 33, "x", 0),  # only 32 periods go
    ("x" + "." * 32, "x", 1),
]


@pytest.mark.parametrize(("matches", "expected"), COUNTS)
def test_matches_are_left_out_once(check, matches, expected):
    check(expected, "vqa", "stop", ["stop"] * matches + [f"other {n}" for n in range(10 - matches)])


@pytest.mark.parametrize(("output", "answer", "expected"), SAME)
def test_processed_answers(check, output, answer, expected):
    check(expected, "vqa", output, [answer] * 10)


def test_annotators_agree_after_processing(check):
    check(1, "vqa", "two dogs", ["2 dogs", "Two dogs!", "the two dogs", "two, dogs", *["cat"] * 6])


def test_one_annotator_is_refused(answered):
    with pytest.raises(AerieError, match=r"'q' of 'bench'.*several annotators"):
        verdict(answered("vqa", "stop", ["stop"]), "eagle2")
