"""OCRBench (Liu et al. 2023): a reference must stand somewhere in the output.

eagle2: `OCRBench/example.py` of Yuliang-Liu/MultimodalOCR: lower case, line ends as blanks; handwritten formulas
(HMER) are compared with every blank removed and case kept, since `x` and `X` are different variables.
vlmevalkit: `image_vqa.OCRBench.evaluate`: the same rules.
lmms-eval: `tasks/ocrbench/utils.py`, `ocrbench_process_results`: lower-cases the output first, also that of formulas,
so a formula with a capital can't be right.
"""

from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules.common import RuleSet, fact, hit

FORMULAS = "Handwritten Mathematical Expression Recognition"
RECOGNITION = frozenset(
    {
        "Regular Text Recognition",
        "Irregular Text Recognition",
        "Artistic Text Recognition",
        "Handwriting Recognition",
        "Digit String Recognition",
        "Non-Semantic Text Recognition",
    }
)


def _line(text: str) -> str:
    return text.strip().replace("\n", " ")


def contained(output: str, answer: str, kind: str, rules: RuleSet) -> bool:
    """Whether a reference stands in the output; `kind` is one of the ten OCRBench types."""
    if kind == FORMULAS:
        output = output.lower() if rules == "lmms-eval" else output
        return _line(answer).replace(" ", "") in _line(output).replace(" ", "")
    return _line(answer.lower()) in _line(output.lower())


def ocrbench_verdict(row: Answered, rules: RuleSet) -> Verdict:
    """Right when any reference stands in the output; needs the fact `type`."""
    kind = str(fact(row, "type"))
    found = next((answer for answer in row.answers if contained(row.output, answer, kind, rules)), "")
    return hit(bool(found), found or row.output.strip())
