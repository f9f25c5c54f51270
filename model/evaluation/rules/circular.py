"""MMBench's CircularEval (Liu et al. 2023, section 4.3): a question is right only if every rotated copy is.

Each copy is one row; the fact `group` is shared by the copies of a question.
eagle2: strict reading of the letter. vlmevalkit: `can_infer` without a judge, as the rule `choice`.
lmms-eval: `tasks/mmbench/mmbench_evals.py`, `MMBench_Evaluator.can_infer`: an "A" in more than three words may be an
article, so it is skipped; brackets and marks count only right at the letter; texts are searched without a length limit.
Where it finds nothing it asks GPT and then guesses among A-E; here the question's id decides the guess.
"""

import string
from collections import defaultdict
from collections.abc import Mapping, Sequence

from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.choice import strict_choice
from model.evaluation.rules.choice_tools import can_infer
from model.evaluation.rules.common import RuleSet, drawn, fact, hit, options_of, right_letters, share_all_right

_LETTERS = string.ascii_uppercase[:5]
_WRAPPINGS = (
    ("", "."),
    ("", ","),
    ("", ":"),
    ("", ")"),
    ("", ")."),
    ("(", ")"),
    ("(", ")."),
    (":", ""),
    (":", ","),
    (":", "."),
    (":", ")"),
    (":", ")."),
)


def _only(words: Sequence[str], before: str = "", after: str = "") -> str:
    letters = [letter for letter in _LETTERS if f"{before}{letter}{after}" in words]
    return letters[0] if len(letters) == 1 else ""


def mmbench_letter(output: str, options: Mapping[str, str]) -> str:
    """The letter that lmms-eval's MMBench evaluator infers without GPT, "" for none."""
    words = output.split()
    bare = _only(words)
    if bare and not ("A" in words and len(words) > 3):
        return bare
    for before, after in _WRAPPINGS:
        if letter := _only(words, before, after):
            return letter
    letters = [letter for letter, text in options.items() if text.lower() in output.lower()]
    return letters[0] if len(letters) == 1 else ""


def circular_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """Right when this copy's letter is the reference's; `circular_scores` looks at whole groups."""
    options = options_of(row)
    targets = right_letters(row, options)
    fact(row, "group")
    if rules == "eagle2":
        letter, note = strict_choice(row.output, options)
        return hit(letter in targets, letter, note)
    letter = can_infer(row.output, options) if rules == "vlmevalkit" else mmbench_letter(row.output, options)
    if not letter and rules == "lmms-eval":
        letter = drawn(row, _LETTERS)
        return hit(letter in targets, letter, "guessed by the question's id")
    return hit(letter in targets, letter, "" if letter else "no choice could be read")


def circular_groups(rows: Sequence[Answered]) -> dict[str, list[int]]:
    """Group -> places in `rows` of its copies."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        groups[str(fact(row, "group"))].append(place)
    return dict(groups)


def circular_scores(rows: Sequence[Answered], verdicts: Sequence[Verdict]) -> dict[str, float]:
    """`score`: share of groups with every copy right; `vanilla`: share of single copies; 0..100."""
    groups = circular_groups(rows)
    return {
        "score": 100 * share_all_right(groups.values(), verdicts),
        "vanilla": 100 * sum(verdict.value == 1 for verdict in verdicts) / len(verdicts),
        "groups": len(groups),
    }
