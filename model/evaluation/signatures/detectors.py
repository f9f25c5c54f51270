"""The text signatures by name: a pattern, when it is out of place, and what it means in words."""

from collections.abc import Callable
from dataclasses import dataclass

from model.evaluation.signatures import drift, latex, precision, repeating, silence, switching, templates
from model.evaluation.signatures.reply import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """One text signature.

    `pattern` names what an answer shows ("" for nothing) and looks at outputs and training answers alike. `misplaced`
    says whether it is out of place there: question and references, if there are any, give no reason for it. An output
    fails only when its pattern is misplaced; a source can teach a pattern that is in place in its own answers.
    """

    description: str
    pattern: Callable[[Reply], str]
    misplaced: Callable[[Reply], bool]

    def failure(self, reply: Reply) -> str:
        """The pattern of an output where it is out of place, else ""."""
        found = self.pattern(reply)
        return found if found and self.misplaced(reply) else ""


DETECTORS: dict[str, Detector] = {
    "fixed_latex": Detector(
        description="LaTeX in answers to questions that are about no formula",
        pattern=latex.pattern,
        misplaced=latex.misplaced,
    ),
    "fixed_template": Detector(
        description="wrappers, stock openings, open slots and control tokens that no reference has",
        pattern=templates.pattern,
        misplaced=templates.misplaced,
    ),
    "repetition_loop": Detector(
        description="words, lines or n-grams said again and again",
        pattern=repeating.pattern,
        misplaced=repeating.misplaced,
    ),
    "decimal_precision": Detector(
        description="more decimals than image, question and references have",
        pattern=precision.pattern,
        misplaced=precision.misplaced,
    ),
    "refusal": Detector(
        description="refusals, and giving up where there is an answer",
        pattern=silence.refusal_pattern,
        misplaced=silence.refusal_misplaced,
    ),
    "empty_output": Detector(
        description="no text, or nothing but dots and dashes",
        pattern=silence.empty_pattern,
        misplaced=silence.empty_misplaced,
    ),
    "format_drift": Detector(
        description="another form than the question asks for or the references have",
        pattern=drift.pattern,
        misplaced=drift.misplaced,
    ),
    "language_switch": Detector(
        description="another script or language than question and references",
        pattern=switching.pattern,
        misplaced=switching.misplaced,
    ),
}
