from decimal import Decimal

import pytest

from data.curation.rewriting.same_answer import letter_of, numbers_of, same_answer, words

SAME = [
    ("number", "12", "12"),
    ("number", "12", "12.0"),
    ("number", "12", " 12. "),
    ("number", "1,200", "1200"),
    ("number", "-3", "−3"),
    ("number", "3", "three"),
    ("number", "12", "12 apples"),
    ("number", "$4.50", "4.5 dollars"),
    ("number", "40%", "40 percent"),
    ("number", "7", r"\boxed{7}"),
    ("number", "1e3", "1000"),
    ("quantity", "12.5 cm", "12.50cm."),
    ("quantity", "$3 million", "$3 million"),
    ("letter", "B", "(b)"),
    ("letter", "B", "B. Paris"),
    ("letter", "(C)", "The answer is C."),
    ("letter", "A", "a"),
    ("yes_no", "yes", "Yes."),
    ("yes_no", "no", "NO!"),
    ("phrase", "red circle", "a red circle."),
    ("phrase", "The Hague", "the hague"),
    ("phrase", "don't know", "Don’t know"),
    ("phrase", "U.S.", "U.S"),
    ("phrase", "café", "Café"),
    ("phrase", "C++", "C++"),
    ("phrase", "the", "The"),
    ("phrase", "10:30", '"10:30"'),
]
DIFFERENT = [
    ("number", "12", "13"),
    ("number", "12", "-12"),
    ("number", "12", "12 or 13"),
    ("number", "12", "none"),
    ("number", "12", ""),
    ("number", "0.5", "5"),
    ("number", "100", "100.1"),
    ("quantity", "12 cm", "12 mm"),
    ("quantity", "12 cm", "13 cm"),
    ("quantity", "12 cm", "12"),
    ("letter", "B", "C"),
    ("letter", "B", "Paris"),
    ("letter", "B", ""),
    ("letter", "Paris", "Paris"),
    ("yes_no", "yes", "no"),
    ("yes_no", "yes", "yes, but no"),
    ("yes_no", "yes", ""),
    ("phrase", "red circle", "circle"),
    ("phrase", "red circle", "a red and blue circle"),
    ("phrase", "C++", "C"),
    ("phrase", "5%", "5"),
    ("phrase", "red", ""),
    ("phrase", "red", "..."),
]


@pytest.mark.parametrize(("family", "known", "said"), SAME)
def test_the_same(family, known, said):
    assert same_answer(family, known, said)


@pytest.mark.parametrize(("family", "known", "said"), DIFFERENT)
def test_not_the_same(family, known, said):
    assert not same_answer(family, known, said)


def test_a_tolerance_is_relative_to_the_known_number():
    assert same_answer("number", "200", "209", 0.05)
    assert not same_answer("number", "200", "211", 0.05)
    assert same_answer("number", "-200", "-191", 0.05)
    assert not same_answer("number", "0", "0.01", 0.05)


def test_numbers_in_words_and_digits():
    assert numbers_of("Two of the 1,000.5 are -3 or .5") == [2, Decimal("1000.5"), -3, Decimal("0.5")]
    assert numbers_of("no figure, twenty-first") == [20]


def test_letters_and_words():
    assert [letter_of(text) for text in ("b", "B)", "(B) Paris", "Be", "Apple", "")] == ["B", "B", "B", "", "", ""]
    assert words("The  cat's 3.5 kg, isn't it?") == ["cat's", "3.5", "kg", "isn't", "it"]
