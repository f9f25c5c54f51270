"""Pure scorers: a prediction and a reference in, a number in [0, 1] out.

Which scorer counts for a task stands in `METRIC_OF_TASK`; stored predictions can be scored again at any time.
"""

import re
import string
from collections import Counter
from collections.abc import Callable
from typing import Literal, get_args

Metric = Literal["exact", "relaxed", "anls", "token_f1"]
RULES_VERSION = 1  # stands in every scores file; raise it when a scorer changes

RELAXED_TOLERANCE = 0.05
ANLS_THRESHOLD = 0.5
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(\D|$))")


def normalised(text: str) -> str:
    """Lower case, single blanks, no blanks around, no final period.

    >>> normalised("  Dark   Blue. ")
    'dark blue'
    """
    return " ".join(text.casefold().split()).removesuffix(".").rstrip()


def exact_match(prediction: str, answer: str) -> float:
    """1 when both are equal once normalised (the VQA practice of comparing processed strings)."""
    return float(normalised(prediction) == normalised(answer))


def as_number(text: str) -> float | None:
    """A whole answer as a number, or None; `12 %` is 0.12 as in ChartQA's own scorer, `1,200` is 1200.

    >>> as_number("1,200.")
    1200.0
    """
    plain = _THOUSANDS.sub("", normalised(text))
    percent = plain.endswith("%")
    plain = plain.removesuffix("%").strip()
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", plain):
        return None  # also refuses "nan" and "inf", which float() would take
    return float(plain) / (100 if percent else 1)


def relaxed_accuracy(prediction: str, answer: str) -> float:
    """Numbers may be off by 5 % of the reference, text must match exactly.

    Relaxed accuracy of PlotQA (Methani et al. 2020) as ChartQA uses it (Masry et al. 2022, section 5).
    """
    target, found = as_number(answer), as_number(prediction)
    if target is None or found is None:
        return exact_match(prediction, answer)
    if target == 0:
        return float(found == 0)
    return float(abs(found - target) <= RELAXED_TOLERANCE * abs(target) + 1e-12)


def edit_distance(left: str, right: str) -> int:
    """Levenshtein distance in characters.

    >>> edit_distance("licence", "license")
    1
    """
    if len(left) < len(right):
        left, right = right, left
    row = list(range(len(right) + 1))
    for i, one in enumerate(left, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(right, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (one != other))
    return row[-1]


def anls(prediction: str, answer: str) -> float:
    """Normalised Levenshtein similarity, 0 from a normalised distance of 0.5 on (Biten et al. 2019, ST-VQA)."""
    found, target = normalised(prediction), normalised(answer)
    longest = max(len(found), len(target))
    if not longest:
        return 1.0
    distance = edit_distance(found, target) / longest
    return 1.0 - distance if distance < ANLS_THRESHOLD else 0.0


def _words(text: str) -> list[str]:
    plain = "".join(character for character in text.casefold() if character not in string.punctuation)
    return _ARTICLES.sub(" ", plain).split()


def token_f1(prediction: str, answer: str) -> float:
    """F1 over words without articles and punctuation (SQuAD, Rajpurkar et al. 2016, section 6.1)."""
    found, target = _words(prediction), _words(answer)
    if not found or not target:
        return float(found == target)
    shared = sum((Counter(found) & Counter(target)).values())
    return 2 * shared / (len(found) + len(target))


SCORERS: dict[Metric, Callable[[str, str], float]] = {
    "exact": exact_match,
    "relaxed": relaxed_accuracy,
    "anls": anls,
    "token_f1": token_f1,
}
METRICS: tuple[Metric, ...] = get_args(Metric)

METRIC_OF_TASK: dict[str, Metric] = {
    # easy-VQA: exact match, as its authors report accuracy over 13 answers
    "yes_no": "exact",
    "shape": "exact",
    "color": "exact",
    # charts: numbers within 5 %, labels and directions exactly (ChartQA)
    "value_at": "relaxed",
    "difference": "relaxed",
    "max": "exact",
    "min": "exact",
    "trend": "exact",
    "compare": "exact",
    # reading
    "digit": "exact",
    "parity": "exact",
    "line": "anls",
    "count_words": "exact",
    "first_word": "anls",
    "last_word": "anls",
    "word_appears": "exact",
    # free answers
    "dialogue": "token_f1",
}


def metric_of(task: str) -> Metric:
    """The scorer that counts for a task; a task that nobody declared gets relaxed accuracy (exact for text)."""
    return METRIC_OF_TASK.get(task, "relaxed")


def score(task: str, prediction: str, answer: str) -> float:
    """The score that counts for a task."""
    return SCORERS[metric_of(task)](prediction, answer)
