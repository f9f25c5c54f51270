"""What a training text must never hold: refusals, image placeholders in answers, control tokens, unfilled slots."""

import re

from data.curation.rules import CODE, first_match
from data.curation.talk import Talk
from data.schema import IMAGE_PLACEHOLDER

REFUSAL = re.compile(
    r"\b(?:as an ai(?: language)? (?:model|assistant)\b.{0,40}\b(?:can ?not|can['’]t|unable|do not|don['’]t)"
    r"|i(?:['’]m| am) (?:sorry|afraid),? (?:but )?i (?:can ?not|can['’]t|am unable)"
    r"|i(?:['’]m| am) (?:unable|not able) to (?:see|view|assist|help|answer|provide|process)"
    r"|i (?:can ?not|can['’]t) (?:see|view|assist with|help with|answer) (?:the|this|that|any))",
    re.I | re.S,
)
CONTROL = re.compile(r"<\|[a-z_]+\|>|</?(?:img|IMG_CONTEXT)>")
SLOTS = re.compile(
    r"(?<![\w}^_])\{\{[^{}\n]*\}\}|\{(?:answer|question|value|name|text|number|label|result)\}"
    r"|\[(?:insert|your|fill)\b[^\]\n]*\]|<(?:answer|insert|your)[^<>\n]*>(?!.*</)"
    r"|\\(?:boxed|text|frac|mathrm|textbf)\s*\{\s*\}",
    re.I,
)
LATEX_BLOCK = re.compile(r"\\(begin|end)\s*\{([^{}]*)\}")


def refusals(talk: Talk) -> list[str]:
    """What each refusing answer says."""
    return [found for answer in talk.answers if (found := first_match(REFUSAL, answer))]


def leaks(talk: Talk) -> list[str]:
    """Placeholders in answers, control tokens anywhere."""
    found = []
    for role, text in zip(talk.roles, talk.texts, strict=True):
        if role == "assistant" and IMAGE_PLACEHOLDER in text:
            found.append(f"{IMAGE_PLACEHOLDER} in an answer")
        if control := first_match(CONTROL, text):
            found.append(control)
    return found


def template_residue(answer: str) -> str:
    """An unfilled slot, an empty LaTeX command or an unbalanced LaTeX block; "" when the text is whole.

    Balanced decorations are no reason to drop a sample: the formatting step strips them. Code is looked past:
    `{name}` is what an f-string has to say.
    """
    answer = CODE.sub(" ", answer)
    slot = SLOTS.search(answer)
    if slot:
        return slot.group(0)
    opened: list[str] = []
    for match in LATEX_BLOCK.finditer(answer):
        if match.group(1) == "begin":
            opened.append(match.group(2))
        elif not opened or opened.pop() != match.group(2):
            return match.group(0)
    return rf"\begin{{{opened[-1]}}}" if opened else ""


def residues(talk: Talk) -> list[str]:
    """What is left of a template in each answer."""
    return [found for answer in talk.answers if (found := template_residue(answer))]
