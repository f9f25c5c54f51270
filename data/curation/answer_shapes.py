"""The shape of an answer, read off its text alone: what formats are told apart by, whatever a source declares."""

import json
import re
from functools import lru_cache
from typing import Literal

Shape = Literal[
    "empty",
    "letter",
    "boolean",
    "number",
    "quantity",
    "phrase",
    "sentence",
    "paragraph",
    "text",
    "steps",
    "list",
    "box",
    "point",
    "json",
    "table",
    "latex",
    "markdown",
    "code",
]
PHRASE_WORDS = 4
CACHED_CHARS = 48  # short answers repeat, long ones hardly do

NUMBER = re.compile(r"[-+−]?[$€£]?\d[\d,]*(?:\.\d+)?\s?%?")
BOOLEAN = re.compile(r"(yes|no)[.!]?", re.I)
LETTER = re.compile(r"[A-H]")
_UNITS = """
    km|cm|mm|nm|μm|µm|m|kg|mg|g|lb|lbs|oz|l|L|ml|mL|ms|s|min|h|hr|hrs|Hz|kHz|MHz|GHz|J|kJ|N|W|kW|MW|GW|V|A|Pa|kPa|mol|K
    |°C|°F|°|m/s|km/h|mph|mm2|cm2|m2|km2|cm3|m3|m²|cm²|km²|m³|cm³|ft|in|mi|yd|px|GB|MB|KB|TB
    |degrees?(?:\\ (?:celsius|fahrenheit))?|meters?|metres?|kilometers?|kilometres?|centimeters?|centimetres?
    |feet|foot|inch(?:es)?|miles?|yards?|grams?|kilograms?|pounds?|tons?|tonnes?|lit(?:er|re)s?
    |seconds?|minutes?|hours?|days?|weeks?|months?|years?|dollars?|cents?|euros?|percent|points?|people|USD|EUR
    |(?:thousand|million|billion|trillion)(?:\\ (?:dollars|people|tonnes|euros|USD))?
"""
QUANTITY = re.compile(rf"[-+−]?[$€£]?\d[\d,]*(?:\.\d+)?\s?(?:{'|'.join(_UNITS.split('|')).strip()})\.?", re.X)
_COORDINATE = r"-?\d{1,4}(?:\.\d+)?"
_FOUR = rf"{_COORDINATE}(?:\s*,\s*{_COORDINATE}){{3}}"
_TWO = rf"{_COORDINATE}\s*,\s*{_COORDINATE}"
_ONE = rf"(?:\[{_FOUR}\]|\({_FOUR}\))"
BOX = re.compile(rf"{_ONE}(?:[\s,;]*{_ONE})*|\[\s*\[{_FOUR}\](?:\s*,\s*\[{_FOUR}\])*\s*\]")
_NAME, _NUMBERS = r"(?:<ref>[^<>]*</ref>)?", r"[\d\s.,\[\]()-]+"
TAGGED = re.compile(rf"(?:{_NAME}<(box|point|loc)>{_NUMBERS}</\1>\s*)+")
POINT = re.compile(rf"(?:<[^<>]*>[^<>]*</ref>)?<(?:box|point)>\[?\[{_TWO}\]\]?</(?:box|point)>|\[{_TWO}\]|\({_TWO}\)")
FENCED = re.compile(r"```([\w+#-]*)\n(.*?)\n?```", re.S)
DATA_FENCES = frozenset({"json", "markdown", "md", "latex", "tex", "text", "csv"})
TABLE_RULE = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?")
LIST_ITEM = re.compile(r"\s*(?:[-*•]|\(?\d{1,2}[.)])\s+\S")
HEADING = re.compile(r"^#{1,6} \S", re.M)
LATEX = re.compile(r"\\[a-zA-Z]{2,}|[\w)}\]][_^][{\w]")
PROSE = re.compile(r"(?:[A-Za-z']{2,}\s+){3}")
# The last words of worked reasoning: the answer, announced.
CONCLUSION = re.compile(r"(?:\b(?:final\s+|correct\s+)?answer\s*(?:is|:)|\\boxed\{|^####\s)[^\n]{1,120}$", re.I | re.M)
CONCLUSION_CHARS = 160
NEXT_SENTENCE = re.compile(r"[.!?] +[A-Z]")
STEP_WORDS, LONG_WORDS = 20, 40


def shape_of(answer: str) -> Shape:
    """The shape of an answer; surrounding whitespace doesn't matter.

    >>> [shape_of(text) for text in ("B", "No.", "1,200", "12 cm", "dark blue", "[1, 2, 30, 40]", "It is a red cup.")]
    ['letter', 'boolean', 'number', 'quantity', 'phrase', 'box', 'sentence']
    """
    text = answer.strip()
    return _short_shape(text) if len(text) <= CACHED_CHARS else _shape(text)


@lru_cache(maxsize=1 << 16)
def _short_shape(text: str) -> Shape:
    if not text:
        return "empty"
    if LETTER.fullmatch(text):
        return "letter"
    if BOOLEAN.fullmatch(text):
        return "boolean"
    if NUMBER.fullmatch(text.removesuffix(".")):
        return "number"
    return "quantity" if QUANTITY.fullmatch(text) else _shape(text)


def _shape(text: str) -> Shape:
    """Of a text that is no letter, boolean, number or quantity; cheap signs are looked at before patterns."""
    if text[0] in "[({<`|" and (marked := _marked(text)):
        return marked
    if "\n" in text:
        return _of_lines(text)
    words = text.count(" ") + 1
    if ("\\" in text or "^" in text or "_" in text) and LATEX.search(text) and not PROSE.search(text):
        return "latex"
    if words <= PHRASE_WORDS and text[-1] not in ".!?。":
        return "phrase"
    if words >= STEP_WORDS and _concludes(text):
        return "steps"
    return "paragraph" if words >= LONG_WORDS or NEXT_SENTENCE.search(text) else "sentence"


def _concludes(text: str) -> bool:
    tail = text[-CONCLUSION_CHARS:]
    said = "nswer" in tail or "\\boxed" in tail or "#### " in tail or "NSWER" in tail
    return said and CONCLUSION.search(tail) is not None


def _marked(text: str) -> Shape | None:
    if POINT.fullmatch(text):
        return "point"
    if BOX.fullmatch(text) or (text[0] == "<" and TAGGED.fullmatch(text)):
        return "box"
    if text[0] in "[{" and _is_json(text):
        return "json"
    if text.startswith("```") and (fenced := FENCED.fullmatch(text)):
        return shape_of(fenced.group(2)) if fenced.group(1).lower() in DATA_FENCES else "code"
    return "table" if re.match(r"<table\b", text, re.I) else None


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _of_lines(text: str) -> Shape:
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) >= 2 and "|" in lines[0] and TABLE_RULE.fullmatch(lines[1].strip()):
        return "table" if all("|" in line for line in lines) else "markdown"
    words = text.count(" ") + len(lines)
    if words >= STEP_WORDS and _concludes(lines[-1]):
        return "steps"
    if all(LIST_ITEM.match(line) for line in lines):
        return "list"
    if "\\" in text and LATEX.search(text) and not PROSE.search(text):
        return "latex"
    if HEADING.search(text):
        return "markdown"
    return "text" if words >= LONG_WORDS or len(lines) > 2 else "paragraph"
