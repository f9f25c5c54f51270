r"""Broken markup in answers: open code fences and tags, boxes that are none, formulas and tables that don't close."""

import re
from collections.abc import Callable, Iterator

from data.curation.rules import CODE
from data.curation.talk import Talk

FENCE = re.compile(r"^\s*```", re.M)
TAGS = "table|thead|tbody|tr|td|th|b|i|u|em|strong|ul|ol|div|span|sub|sup|code|pre|box|ref|quad|point|think|a|h[1-6]"
TAG = re.compile(rf"<(/?)({TAGS})(?:\s[^<>]*)?>", re.I)
BOX = re.compile(r"<box>(.*?)</box>", re.S)
NUMBER = r"-?\d+(?:\.\d+)?"
WHOLE_BOX = re.compile(rf"\[{{0,2}}{NUMBER}(?:,{NUMBER}){{3}}\]?(?:,\[{NUMBER}(?:,{NUMBER}){{3}}\])*\]?")
ONE_BOX = re.compile(rf"({NUMBER}),({NUMBER}),({NUMBER}),({NUMBER})")
# Money and shell variables use the sign that opens a formula.
NO_FORMULA = re.compile(r"\\\$|\$\s?\d[\d,.]*(?:\s?(?:k|m|bn|million|billion)\b)?|\$[A-Z_]{2,}|\b[A-Z]{1,3}\$")
PARTNERS = ((r"\(", r"\)"), (r"\[", r"\]"))
LEFT, RIGHT = re.compile(r"\\left(?![a-z])"), re.compile(r"\\right(?![a-z])")
COMMAND = re.compile(r"\\[a-zA-Z]+\s*\{")
ROW = re.compile(r"^\s*\|.*$", re.M)
RULE = re.compile(r"^\s*\|?(?:\s*:?-{2,}:?\s*\|)+\s*(?::?-{2,}:?\s*)?$")


def open_fence(answer: str) -> str:
    """A code fence that is not closed."""
    return "``` is not closed" if len(FENCE.findall(answer)) % 2 else ""


def open_tag(text: str) -> str:
    """A tag that is not closed, or closes nothing."""
    opened: list[str] = []
    for closing, name in TAG.findall(text):
        if not closing:
            opened.append(name.lower())
        elif not opened or opened.pop() != name.lower():
            return f"</{name}> closes nothing"
    return f"<{opened[-1]}> is not closed" if opened else ""


def broken_box(text: str) -> str:
    """A box that isn't four numbers, the left and upper corner first."""
    for content in BOX.findall(text):
        numbers = "".join(content.split())
        if not WHOLE_BOX.fullmatch(numbers):
            return f"<box>{content}</box> is not four numbers"
        for corners in ONE_BOX.findall(numbers):
            x1, y1, x2, y2 = map(float, corners)
            if x2 < x1 or y2 < y1:
                return f"<box>{content}</box> ends before it begins"
    return ""


def open_formula(text: str) -> str:
    r"""A formula that is not closed: `$`, `\(`, `\[`, `\left`, or a command's brace."""
    for opening, closing in PARTNERS:
        if text.replace("\\\\", "").count(opening) != text.replace("\\\\", "").count(closing):
            return f"{opening} and {closing} don't match"
    if len(LEFT.findall(text)) != len(RIGHT.findall(text)):
        return r"\left and \right don't match"
    if text.count("$") % 2 and NO_FORMULA.sub(" ", text).count("$") % 2:
        return "$ is not closed"
    bare = re.sub(r"\\[{}]|\\left|\\right", "", text)
    if COMMAND.search(text) and bare.count("{") != bare.count("}"):
        return "{ and } don't match"
    return ""


def _cells(row: str) -> int:
    return len(re.split(r"(?<!\\)\|", row.strip().strip("|")))


def broken_table(text: str) -> str:
    """A Markdown table whose rows have not as many cells as its head."""
    lines = text.splitlines()
    for at in range(1, len(lines)):
        if not (RULE.match(lines[at]) and "|" in lines[at - 1]):
            continue
        width = _cells(lines[at - 1])
        rows = [lines[at]]
        for line in lines[at + 1 :]:
            if "|" not in line:
                break
            rows.append(line)
        for row in rows:
            if _cells(row) != width:
                return f"the table has {width} columns, a row has {_cells(row)}: {row.strip()!r}"
    return ""


CHECKS: tuple[Callable[[str], str], ...] = (open_tag, broken_box, open_formula, broken_table)


def broken_markup(answer: str) -> str:
    """What is broken first; "" when the text is whole. Code is looked past."""
    if found := open_fence(answer):
        return found
    text = CODE.sub(" ", answer)
    return next((found for check in CHECKS if (found := check(text))), "")


def markup_errors(talk: Talk) -> list[str]:
    """What is broken in each answer."""
    return list(_broken(talk))


def _broken(talk: Talk) -> Iterator[str]:
    for answer in talk.answers:
        if found := broken_markup(answer):
            yield found
