"""Exact match, ANLS, relaxed accuracy and token F1. Expected: one value, or (eagle2, vlmevalkit, lmms-eval)."""

import pytest

EXACT = [
    ("yes", "yes", 1),
    ("Yes", "yes", 1),
    ("YES", "yes", 1),
    ("yes.", "yes", (1, 0, 1)),  # exact/period
    ("yes!", "yes", (0, 0, 1)),
    (" yes", "yes", (1, 1, 0)),  # exact/blanks
    ("yes\n", "yes", (1, 1, 0)),
    ("\tyes ", "yes", (1, 1, 0)),
    ("yes .", "yes", (1, 0, 0)),
    ("dark  blue", "dark blue", (1, 0, 0)),
    ("dark\nblue", "dark blue", (1, 0, 0)),
    ("dark blue", "dark blue", 1),
    ("Dark Blue.", "dark blue", (1, 0, 1)),
    ("darkblue", "dark blue", 0),
    ("dark-blue", "dark blue", 0),
    ("dark-blue", "darkblue", (0, 0, 1)),
    ("no", "yes", 0),
    ("", "yes", 0),  # any/empty
    ("   ", "yes", 0),
    ("\n", "yes", 0),
    ("yes yes", "yes", 0),
    ("yes, it is", "yes", 0),
    ("it's", "its", (0, 0, 1)),
    ("7", "7", 1),
    ("7.", "7", (1, 0, 1)),
    ("7.0", "7", 0),
    ("7.0", "70", (0, 0, 1)),  # lmms-eval deletes the point between digits
    ("1,000", "1000", (0, 0, 1)),
    ("1,000", "1,000", 1),
    ("07", "7", 0),
    ("$5", "5", (0, 0, 1)),
    ("50%", "50", (0, 0, 1)),
    ("50%", "50%", 1),
    ("Straße", "strasse", (1, 0, 0)),  # folded case only under eagle2
    ("STRASSE", "strasse", 1),
    ("(a)", "a", (0, 0, 1)),
    ("the cat", "cat", 0),
    ("cat", ("dog", "cat"), 1),
    ("cow", ("dog", "cat"), 0),
    ("Cat.", ("dog", "cat"), (1, 0, 1)),
    ("ÉTÉ", "été", 1),
    ("\u00a0no\u00a0", "no", (1, 1, 0)),
    ("no", " no ", (1, 1, 0)),
    ("a.b.", "a.b", (1, 0, 1)),
]

ANLS = [
    ("license", "license", 1),
    ("License", "license", 1),
    ("LICENSE", "license", 1),
    ("licence", "license", 6 / 7),
    ("icense", "license", 6 / 7),
    ("licenses", "license", 7 / 8),
    ("license.", "license", (1, 7 / 8, 7 / 8)),  # anls/period
    ("license", "license.", (1, 7 / 8, 7 / 8)),
    ("license..", "license", (7 / 8, 7 / 9, 7 / 9)),
    (" license ", "license", 1),
    ("licence ", "license", (6 / 7, 6 / 7, 7 / 8)),  # anls/raw-length
    ("  licence  ", "license", (6 / 7, 6 / 7, 10 / 11)),
    ("the  terms", "the terms", 1),
    ("the\nterms", "the terms", 1),
    ("the\tterm", "the terms", 8 / 9),
    ("the  term", "the terms", 8 / 9),
    ("the   term", "the terms", (8 / 9, 8 / 9, 9 / 10)),
    ("het terms", "the terms", 7 / 9),
    ("terms", "the terms", 5 / 9),
    ("abcd", "abxy", (0, 0.5, 0.5)),  # anls/half
    ("ab", "ax", (0, 0.5, 0.5)),
    ("abcdef", "abcxyz", (0, 0.5, 0.5)),
    ("abc", "axy", 0),
    ("abcde", "abcxy", 3 / 5),
    ("abcde", "abxyz", 0),
    ("ab", "cd", 0),
    ("a", "b", 0),
    ("a", "a", 1),
    ("", "license", 0),
    ("  ", "license", 0),
    ("42", "42", 1),
    ("42", "24", 0),
    ("1998", "1999", 3 / 4),
    ("$1,200", "$1,200", 1),
    ("$1,200", "1,200", 5 / 6),
    ("1200", "1,200", 4 / 5),
    ("It is a licence agreement for the whole of the firm", "licence", 0),
    ("licence", ("license", "licence"), 1),
    ("licenc", ("license", "licence"), 6 / 7),
    ("xyz", ("license", "licence"), 0),
    ("abcd", ("abxy", "abcx"), 3 / 4),
    ("naïve", "naive", 4 / 5),
    ("Straße", "strasse", (1, 5 / 7, 5 / 7)),
    ("日本語", "日本", 2 / 3),
]

RELAXED = [
    ("100", "100", 1),
    ("105", "100", 1),
    ("95", "100", 1),
    ("105.1", "100", 0),
    ("94.9", "100", 0),
    ("104.99", "100", 1),
    ("-100", "100", 0),
    ("-98", "-100", 1),
    ("-106", "-100", 0),
    ("1e2", "100", 1),
    ("100.0", "100", 1),
    ("+100", "100", 1),
    ("0.5", ".5", 1),
    ("1,200", "1200", (1, 0, 0)),  # relaxed/thousands
    ("1200", "1,200", (1, 0, 0)),
    ("1,200", "1,200", 1),
    ("1,250", "1,200", (1, 0, 0)),
    ("1200.", "1200", 1),  # float() reads "1200." too
    ("12%", "12%", 1),
    ("12 %", "12%", 1),
    ("12.5%", "12%", 1),
    ("13%", "12%", 0),
    ("0.12", "12%", 1),
    ("12", "12%", 0),
    ("12%", "12", 0),
    ("12% ", "12%", (1, 1, 0)),  # relaxed/blanks
    ("12%.", "12%", (1, 0, 0)),  # relaxed/period
    (" 100 ", "100", 1),
    ("Oct ", "Oct", (1, 1, 0)),
    ("Oct\n", "oct", (1, 1, 0)),
    ("Oct", "oct", 1),
    ("Oct.", "Oct", (1, 0, 0)),
    ("Nov", "Oct", 0),
    ("0", "0", 1),
    ("0.0", "0", (1, 0, 0)),  # relaxed/zero
    ("0%", "0", (1, 0, 0)),
    ("0.001", "0", 0),
    ("about 100", "100", 0),
    ("100 apples", "100", 0),
    ("$100", "100", 0),
    ("nan", "100", 0),
    ("inf", "100", 0),
    ("nan", "nan", (1, 0, 0)),  # the tools read a number that equals nothing
    ("1_000", "1000", (0, 1, 1)),  # float() reads underscores
    ("", "100", 0),
    ("Yes", ("No", "Yes"), 1),
    ("103", ("50", "100"), 1),
    ("75", ("50", "100"), 0),
]

F1 = [
    ("I am fine", "I am fine", 1),
    ("i am fine!", "I am fine.", 1),
    ("fine", "I am fine", 0.5),
    ("I am fine", "fine", 0.5),
    ("hello", "goodbye", 0),
    ("", "hello", 0),
    ("  ", "hello", 0),
    ("the cat", "a cat", 1),
    ("the", "an", 1),
    ("the", "hello", 0),
    ("hello", "the", 0),
    ("cat cat", "cat", 2 / 3),
    ("cat", "cat cat", 2 / 3),
    ("cat cat", "cat cat", 1),
    ("x y", "y x", 1),
    ("x y z", "x y", 4 / 5),
    ("x y", "x y z", 4 / 5),
    ("x", "x y z", 1 / 2),
    ("x y z w", "x y z", 6 / 7),
    ("x q", "x y", 1 / 2),
    ("a b c d", "c d e f", 4 / 7),
    ("don't", "dont", 1),
    ("dog-house", "doghouse", 1),
    ("dog house", "doghouse", 0),
    ("DOG", "dog", 1),
    ("dog\ncat", "dog cat", 1),
    ("dog\tcat", "cat", 2 / 3),
    ("7", "7", 1),
    ("7.0", "70", 1),
    ("7", "8", 0),
    ("$5", "5", 1),
    ("anthem", "them", 0),
    ("theatre", "atre", 0),
    ("x x y", "x y y", 2 / 3),
    ("x x x", "x", 1 / 2),
    ("x", ("y", "x"), 1),
    ("x y", ("x", "y z"), 2 / 3),
    ("q", ("x", "y"), 0),
    ("red, green, blue", "red green blue", 1),
    ("red green", "red blue", 1 / 2),
    ("!", "hello", 0),
    ("Straße", "strasse", 1),
]


@pytest.mark.parametrize(("output", "answers", "expected"), EXACT)
def test_exact(check, output, answers, expected):
    check(expected, "exact", output, answers)


@pytest.mark.parametrize(("output", "answers", "expected"), ANLS)
def test_anls(check, output, answers, expected):
    check(expected, "anls", output, answers)


@pytest.mark.parametrize(("output", "answers", "expected"), RELAXED)
def test_relaxed(check, output, answers, expected):
    check(expected, "relaxed", output, answers)


@pytest.mark.parametrize(("output", "answers", "expected"), F1)
def test_token_f1(check, output, answers, expected):
    check(expected, "token_f1", output, answers)
