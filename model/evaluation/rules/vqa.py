"""VQA soft accuracy over ten annotators (Antol et al. 2015): mean over leave-one-out of min(1, matches / 3).

eagle2 and lmms-eval: answers are processed as by TextVQA's own evaluator (`EvalAIAnswerProcessor` of Pythia/MMF;
lmms-eval: `tasks/_task_utils/vqa_eval_metric.py`): commas and question marks go first, "'s" gets a blank before it.
vlmevalkit: `vqa_eval.process_answer` with `smp.process_punctuation` (GT-Vision-Lab/VQA): a comma between letters
becomes a blank, one between digits makes every punctuation mark vanish without a blank.
Both delete at most 32 periods: the original passes a flag where Python expects a count.
"""

import re
from collections.abc import Sequence

from data.errors import AerieError
from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.common import RuleSet, named
from model.evaluation.rules.vqa_words import ARTICLES, CONTRACTIONS, DIGITS

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_MOST_PERIODS = 32  # int(re.UNICODE), see above
MATCHES_FOR_FULL = 3


def processed_punctuation(text: str) -> str:
    """Text without punctuation as GT-Vision-Lab/VQA's `processPunctuation` and VLMEvalKit leave it."""
    plain, number = text, _COMMA_IN_NUMBER.search(text) is not None
    for mark in _PUNCTUATION:
        beside_blank = f"{mark} " in text or f" {mark}" in text
        plain = plain.replace(mark, "" if beside_blank or number else " ")
    return _PERIOD.sub("", plain, count=_MOST_PERIODS)


def _words(text: str) -> str:
    words = (DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def processed(text: str, rules: RuleSet) -> str:
    """An answer as annotators' answers are compared: no punctuation, no articles, digits, one way of contractions.

    >>> processed("The two dogs!", "eagle2")
    '2 dogs'
    """
    if rules != "vlmevalkit":
        text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    return _words(processed_punctuation(text.replace("\n", " ").replace("\t", " ").strip()))


def soft_accuracy(output: str, answers: Sequence[str], rules: RuleSet) -> float:
    """Agreement with annotators in [0, 1]; each annotator is left out once, the others vote."""
    found = processed(output, rules)
    matches = [processed(answer, rules) == found for answer in answers]
    return sum(min(1.0, (sum(matches) - own) / MATCHES_FOR_FULL) for own in matches) / len(answers)


def vqa_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """Soft accuracy; the question needs the answers of at least two annotators (TextVQA has ten)."""
    if len(row.answers) < 2:
        raise AerieError(f"{named(row)}: rule 'vqa' needs several annotators' answers; for one reference use 'exact'")
    return Verdict(value=soft_accuracy(row.output, row.answers, rules), found=processed(row.output, rules))
