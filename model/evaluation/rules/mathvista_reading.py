"""Reading numbers, lists and letters out of MathVista answers, by rule."""

import re

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?!\w|\.\d)")
_LIST = re.compile(r"\[[^\[\]]*\]")
_STATED = re.compile(r"(?i:\banswer)(?:\s*(?:\bis\b|[:=]))+\s*(.*)")
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_BRACKETED_LETTER = re.compile(r"\(([a-zA-Z])\)")


def python_float(text: str) -> float | None:
    """A text as a finite float, or None.

    >>> python_float(" 14.0 "), python_float("nan")
    (14.0, None)
    """
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def as_int(text: str) -> int | None:
    """int(float(text)) as MathVista's script does it, so "14.0" and "14.9" are 14; None where it is no number."""
    number = python_float(text)
    return None if number is None else int(number)


def as_list(text: str) -> tuple[float | str, ...] | None:
    """A list in brackets as its numbers (and texts, lower case), or None.

    >>> as_list("[2007, 2008.0]")
    (2007.0, 2008.0)
    """
    match = _LIST.search(text)
    if not match:
        return None
    parts = [part.strip().strip("'\"") for part in match.group()[1:-1].split(",")]
    return tuple(part.lower() if (number := python_float(part)) is None else number for part in parts)


def leading_letter(text: str) -> str:
    """The letter of "(B) text", or the text itself."""
    match = _BRACKETED_LETTER.search(text)
    return match.group(1).upper() if match else text


def _plain(number: str) -> str:
    return number.replace(",", "")


def _one_number(text: str, unit: str) -> str:
    """The one number of a text, "" where there is none or several; the unit's own digits don't count."""
    numbers = {_plain(number) for number in _NUMBER.findall(text.replace(unit, " ") if unit else text)}
    return numbers.pop() if len(numbers) == 1 else ""


def _tail(text: str) -> str:
    """What follows the last `answer is`, `answer:` or stands in the last box; the whole text where nothing does."""
    stated = _BOXED.findall(text) or _STATED.findall(text)
    return stated[-1] if stated else text


def mathvista_extract(output: str, answer_type: str, unit: str = "") -> str:
    """The answer that an output gives, by rule; "" where it gives none, or several numbers without saying which.

    Looks at a boxed or stated answer first, then at the whole output, then at what follows its last "=".

    >>> mathvista_extract("The number missing is 14.", "integer"), mathvista_extract("3 + 4 = 7", "integer")
    ('14', '7')
    """
    tail = _tail(output)
    if answer_type == "list":
        match = _LIST.search(tail) or _LIST.search(output)
        return match.group() if match else ""
    if answer_type == "text":
        return tail.strip()
    number = _one_number(tail, unit) or _one_number(output, unit)
    return number or (_one_number(output.rsplit("=", 1)[1], unit) if "=" in output else "")
