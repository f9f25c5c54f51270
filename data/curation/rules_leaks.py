"""What a training text must never hold: refusals, image placeholders in answers, control tokens, unfilled slots."""

import re

from data.curation.rules import CODE, first_match
from data.curation.talk import Talk
from data.schema import IMAGE_PLACEHOLDER

# What a model says that it can't do, and to whom; "he can't see the car" and a quoted sign stay clear of it.
UNABLE_TO = (
    "see|view|assist|help|answer|provide|process|access|identify|open|display|analy[sz]e|interpret|determine|comply"
)
TO_WHOM = r"(?:with |to )?(?:you|the|this|that|any|your|an?|real|people|images?)\b"
REFUSAL = re.compile(
    r"\b(?:as an ai(?: language| visual)?(?: model| assistant)?\b.{0,40}\b(?:can ?not|can['’]t|unable|do not|don['’]t)"
    r"|i(?:['’]m| am) (?:sorry|afraid),? (?:but )?i (?:can ?not|can['’]t|am unable|am not able|do not|don['’]t)"
    rf"|i(?:['’]m| am) (?:\w+ )?(?:unable|not able) to (?:{UNABLE_TO})"
    r"|i (?:do not|don['’]t) have (?:the ability|access|the capability|any image|an image|enough information to answer)"
    r"|i (?:must|have to) decline|i (?:will not|won['’]t) be able to (?:help|assist|answer)"
    r"|against my (?:guidelines|policy)"
    rf"|i (?:can ?not|can['’]t|could not|couldn['’]t) (?:\w+ )?(?:{UNABLE_TO}) {TO_WHOM}"
    r"|(?:please|could you) (?:provide|upload|share|attach|send) (?:me )?(?:the|an?|your) (?:image|picture|photo)"
    r"|no image (?:was|is|has been) (?:provided|attached|uploaded|given))",
    re.I | re.S,
)
CONTROL = re.compile(
    r"<\|[\w-]+\|>|</?(?:img|IMG_CONTEXT)>|\[/?INST\]|<</?SYS>>|<(?:unk|pad|bos|eos|mask)>|\[(?:SEP|CLS|PAD|UNK)\]"
    r"|</s>\s*\Z|\A\s*<s>|<image[_ ]?\d+>|^(?:###\s*(?:Human|Assistant|Instruction|Response|User)|USER|ASSISTANT):",
    re.M,
)
SLOT_WORDS = (
    "answer|question|value|name|text|number|label|result|object|class|category|caption|description|color|image|input|output"
    "|response|context|title|date|city|country|entity|attribute|count|option|reason"
)
BRACKET_WORDS = (
    "(?:first |last )?name|date|answer|object|place|location|city|year|number|blank|placeholder|company|title"
)
# Also what the screens look for, so no look-arounds here.
PLAIN_SLOTS = (
    rf"\{{(?:{SLOT_WORDS})(?:_?[0-9]|_name)?\}}|\$\{{[A-Za-z0-9_]+\}}|%\([A-Za-z0-9_]+\)s|lorem ipsum"
    rf"|^\s*(?:nan|\[object object\])\s*$|<placeholder>|[\[<](?:{BRACKET_WORDS})[\]>]"
    r"|\\(?:boxed|text|frac|mathrm|textbf)\s*\{\s*\}"
)
SLOTS = re.compile(
    rf"{PLAIN_SLOTS}|(?<![\w}}^_])\{{\{{[^{{}}\n]*\}}\}}|\bTODO\b|\[(?:insert|your|fill)\b[^\]\n]*\]"
    r"|<(?:answer|insert|your)[^<>\n]*>(?!.*</)",
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
