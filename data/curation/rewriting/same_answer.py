"""Whether two short answers say the same, by the family of their question."""

import re
import unicodedata
from decimal import Decimal, InvalidOperation

from data.curation.decorations import strip_decorations
from data.curation.rules import CHOSEN

NUMBER = re.compile(r"[-−+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?")
_SMALL = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty
"""
NUMBER_WORDS = {word: Decimal(value) for value, word in enumerate(_SMALL.split())}
LETTER = re.compile(r"\(?([A-H])\s*[).:]\s*\S.*", re.S)
WORD = re.compile(r"[^\W_]+(?:[.,:'’/-][^\W_]+)*|[%+#]")
ARTICLES = frozenset({"a", "an", "the"})


def same_answer(family: str, known: str, said: str, tolerance: float = 0.0) -> bool:
    """Whether `said` is the `known` answer: letters, booleans and numbers by value, anything else word by word.

    `tolerance` is relative to the known number.
    """
    said = strip_decorations(said)[0].strip().strip("\"'“”‘’`").strip()
    if family == "number":
        numbers = numbers_of(said)
        return len(numbers) == 1 and any(close(number, numbers[0], tolerance) for number in numbers_of(known)[:1])
    if family == "quantity":
        return numbers_of(said) == numbers_of(known) and unit_of(said) == unit_of(known)
    if family == "letter":
        return letter_of(said) == letter_of(known) != ""
    return bool(said) and words(said) == words(known)


def numbers_of(text: str) -> list[Decimal]:
    """Every number of a text, written in digits or as a word up to twenty."""
    found = []
    for token in re.findall(rf"{NUMBER.pattern}|[^\W\d_]+", text):
        if token.lower() in NUMBER_WORDS:
            found.append(NUMBER_WORDS[token.lower()])
        elif any(char.isdigit() for char in token):
            try:
                found.append(Decimal(token.replace(",", "").replace("−", "-")))
            except InvalidOperation:
                continue
    return found


def close(known: Decimal, said: Decimal, tolerance: float = 0.0) -> bool:
    """Whether two numbers agree within a relative tolerance."""
    return abs(known - said) <= abs(known) * Decimal(str(tolerance))


def unit_of(text: str) -> str:
    """What stands beside the number of a quantity: `cm` of `12.5 cm`."""
    return "".join(NUMBER.sub("", text).casefold().split()).rstrip(".")


def letter_of(text: str) -> str:
    """The option that a text chooses: `(b)`, `B.`, `B: Paris`, `The answer is B`; "" for anything else."""
    chosen = CHOSEN.fullmatch(text.strip()) or LETTER.fullmatch(text.strip())
    return chosen.group(1).upper() if chosen else ""


def words(text: str) -> list[str]:
    """Lower-case words without articles and punctuation, for comparison."""
    plain = unicodedata.normalize("NFKC", text).replace("’", "'").casefold()
    found = WORD.findall(plain)
    return [word for word in found if word not in ARTICLES] or found
