r"""Decorations around a whole answer, and how to take them off without touching its meaning.

A decoration is a wrapper that says nothing: fixed LaTeX blocks (paper: `\begin{align*}`...), `\boxed{}`, `$$`, bold
over everything, "The answer is". Inside a longer text the same marks can carry meaning, and stay.
"""

import re
from collections.abc import Callable

LATEX_BLOCK = re.compile(r"\\begin\{((?:align|aligned|equation|gather|displaymath|math)\*?)\}(.*)\\end\{\1\}", re.S)
BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{(.*)\}", re.S)
DISPLAY_MATH = re.compile(r"\$\$([^$]+)\$\$|\\\[((?:(?!\\\[|\\\]).)+)\\\]", re.S)
# Inline math is stripped only from text that reads the same without it: no command, no index, no exponent.
INLINE_MATH = re.compile(r"\$([^$\\^_{}]+)\$|\\\(([^$\\^_{}]+)\\\)")
BOLD = re.compile(r"\*\*((?:(?!\*\*).)+)\*\*", re.S)
LABEL = re.compile(r"(?:the\s+)?(?:final\s+)?answer\s*:\s*(?=\S)", re.I)
SENTENCE = re.compile(r"(?:the|my)\s+(?:final\s+|correct\s+)?answer\s+is\s*:?\s*(?=\S)", re.I)
# "The answer is in the book": with such a word next, the answer is a sentence and its beginning no decoration.
_CLAUSE_WORDS = """
    about at because behind beyond both correct either for from given here hidden if in incorrect just left
    likely more neither not obvious of on only quite right simple simply that there to too unclear under unknown
    up very what when where whether which with within wrong
"""
CLAUSE = frozenset(_CLAUSE_WORDS.split())
MAX_PHRASE_WORDS = 4


def strip_decorations(answer: str, *, verbatim: bool = False) -> tuple[str, list[str]]:
    r"""The bare answer and the kinds of decoration that were taken off, outermost first.

    `verbatim` marks free conversation and copied text, where only surrounding whitespace is decoration.

    >>> strip_decorations(r"The answer is $$\boxed{12}$$.")
    ('12', ['answer_prefix', 'display_math', 'boxed'])
    """
    text, kinds = answer.strip(), []
    if text != answer:
        kinds.append("whitespace")
    while not verbatim:
        for kind, rule in RULES:
            bare = rule(text)
            if bare is not None and (bare := bare.strip()) and bare != text:
                text = bare
                kinds.append(kind)
                break
        else:
            break
    return (text, kinds) if text else (answer, [])


def _latex_block(text: str) -> str | None:
    match = LATEX_BLOCK.fullmatch(text)
    if match is None or r"\begin" in match.group(2) or r"\end" in match.group(2):
        return None
    body = match.group(2).strip().removesuffix(r"\\").strip()
    if r"\\" in body:
        return None  # several lines: their alignment holds them together
    return re.sub(r"\s*(?<!\\)&\s*", " ", body)


def _boxed(text: str) -> str | None:
    match = BOXED.fullmatch(text)
    return match.group(1) if match and _balanced(match.group(1)) else None


def _balanced(text: str) -> bool:
    r"""Whether the braces of a text close in order: false for `1} + \boxed{2`."""
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return False
    return depth == 0


def _one_of(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    def inside(text: str) -> str | None:
        match = pattern.fullmatch(text)
        return next(group for group in match.groups() if group is not None) if match else None

    return inside


def _answer_prefix(text: str) -> str | None:
    label = LABEL.match(text)
    if label:
        return text[label.end() :]
    sentence = SENTENCE.match(text)
    if sentence is None:
        return None
    rest = text[sentence.end() :]
    words = re.findall(r"[\w'-]+", rest)
    if len(words) > MAX_PHRASE_WORDS and not rest.startswith(("\\", "$", "**")):
        return None
    if words and words[0].lower() in CLAUSE:
        return None
    # The period ended the sentence that is gone; that of an abbreviation ("U.S.") belongs to the answer.
    return rest[:-1] if rest.endswith(".") and not re.search(r"\.(?!\d)", rest[:-1]) else rest


RULES: tuple[tuple[str, Callable[[str], str | None]], ...] = (
    ("answer_prefix", _answer_prefix),
    ("latex_block", _latex_block),
    ("boxed", _boxed),
    ("display_math", _one_of(DISPLAY_MATH)),
    ("inline_math", _one_of(INLINE_MATH)),
    ("bold", _one_of(BOLD)),
)
