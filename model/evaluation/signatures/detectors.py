"""The text signatures by name: a pattern, when it is out of place, and what it means in words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from model.evaluation.signatures import drift, emptiness, latex, precision, refusals, repeating, switching, templates
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


class _Signature(Protocol):
    """What each signature's module has."""

    def pattern(self, reply: Reply) -> str: ...

    def misplaced(self, reply: Reply) -> bool: ...


_SIGNATURES: dict[str, tuple[_Signature, str]] = {
    "fixed_latex": (latex, "LaTeX in answers to questions that are about no formula"),
    "fixed_template": (templates, "wrappers, stock openings, open slots and control tokens that no reference has"),
    "repetition_loop": (repeating, "words, lines or n-grams said again and again"),
    "decimal_precision": (precision, "more decimals than image, question and references have"),
    "refusal": (refusals, "refusals, and giving up where there is an answer"),
    "empty_output": (emptiness, "no text, or nothing but dots and dashes"),
    "format_drift": (drift, "another form than the question asks for or the references have"),
    "language_switch": (switching, "another script or language than question and references"),
}
DETECTORS: dict[str, Detector] = {
    name: Detector(description=description, pattern=module.pattern, misplaced=module.misplaced)
    for name, (module, description) in _SIGNATURES.items()
}
