"""HallusionBench (Guan et al. 2023): yes/no questions, grouped by figure and by question.

eagle2: the answer opens with yes or no, or holds only one of them. Questions of category VS without a figure
(figure 0) don't count for fAcc (`get_eval_fig` of tianyi-lab/HallusionBench), and an answer that says neither is right
there (`assign_correctness`: not to know is right without a figure).
vlmevalkit: `yorn.YOrN_Extraction` with exact matching: an output with both words, or none, is wrong;
`Hallusion_rating` groups by subcategory without category, so VD_ocr and VS_ocr share groups.
lmms-eval: `hallusion_bench/evaluate_hb.py`, the functions `..._intern` (its default asks GPT-4 instead): "yes"
anywhere, also in "yesterday", is yes, everything else is no.
"""

import json
import re
from collections import defaultdict
from collections.abc import Sequence

from data.errors import AerieError
from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.common import RuleSet, fact, hit, named, share_all_right
from model.evaluation.rules.vqa import processed_punctuation

_OPENING = re.compile(r"\W*(yes|no)\b(?!\s+one\b)", re.IGNORECASE)
_TRUTH = {"yes": "yes", "no": "no", "1": "yes", "0": "no"}


def strict_yes_no(output: str) -> str:
    """ "yes", "no" or "" where the output says neither or, not at its opening, both.

    >>> strict_yes_no("Yes, there is no cat."), strict_yes_no("It may be yes or no")
    ('yes', '')
    """
    opening = _OPENING.match(output)
    if opening:
        return opening.group(1).lower()
    words = set(re.findall(r"\b(yes|no)\b", output.lower()))
    return words.pop() if len(words) == 1 else ""


def read_yes_no(output: str, rules: RuleSet) -> str:
    """ "yes", "no" or "" under a rule set."""
    if rules == "lmms-eval":
        return "yes" if "yes" in output.lower() else "no"
    if rules == "eagle2":
        return strict_yes_no(output)
    words = {"yes", "no"} & set(processed_punctuation(output.lower()).split())
    return words.pop() if len(words) == 1 else ""


def hallusion_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """Right when yes/no is as in the reference ("Yes"/"No" or "1"/"0")."""
    truth = {_TRUTH.get(answer.strip().lower().rstrip(".")) for answer in row.answers}
    if None in truth or len(truth) != 1:
        raise AerieError(f"{named(row)}: rule 'hallusion' needs one reference, yes or no, not {row.answers}")
    found = read_yes_no(row.output, rules)
    if not found and rules == "eagle2" and _without_figure(row):
        return hit(True, found, "without a figure, not to know is right")
    return hit(found in truth, found, "" if found else "neither yes nor no")


def _kind(row: Answered, rules: RuleSet) -> tuple[str, ...]:
    category, subcategory = str(fact(row, "category")), str(row.facts.get("subcategory", ""))
    return (subcategory or category,) if rules == "vlmevalkit" else (category, subcategory)


def _without_figure(row: Answered) -> bool:
    return str(fact(row, "category")).split("_")[0] == "VS" and str(fact(row, "figure_id")) == "0"


def hallusion_groups(rows: Sequence[Answered], rules: RuleSet) -> dict[str, dict[str, list[int]]]:
    """aAcc (single questions), fAcc (figures), qAcc (questions over their figures): group -> places in `rows`.

    Facts: `category` (VD/VS, perhaps with a subcategory of its own), `set_id`, `figure_id`, `question_id`. Without any
    figure there is no fAcc.
    """
    figures: defaultdict[str, list[int]] = defaultdict(list)
    questions: defaultdict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        about = (*_kind(row, rules), str(fact(row, "set_id")))
        questions[json.dumps([*about, str(fact(row, "question_id"))])].append(place)
        figure = json.dumps([*about, str(fact(row, "figure_id"))])
        if rules != "eagle2" or not _without_figure(row):
            figures[figure].append(place)
    single = {row.question_id: [place] for place, row in enumerate(rows)}
    return {"aAcc": single, **({"fAcc": dict(figures)} if figures else {}), "qAcc": dict(questions)}


def hallusion_scores(rows: Sequence[Answered], verdicts: Sequence[Verdict], rules: RuleSet) -> dict[str, float]:
    """aAcc, fAcc and qAcc, shares of `hallusion_groups` that are right throughout, and their mean `score`; 0..100."""
    parts = hallusion_groups(rows, rules)
    scores = {name: 100 * share_all_right(groups.values(), verdicts) for name, groups in parts.items()}
    return {"score": sum(scores.values()) / len(scores), **scores}
