r"""Decorations around a whole answer, and how to take them off without touching its meaning.

A decoration is a wrapper that says nothing: fixed LaTeX blocks (paper: `\begin{align*}`...), `\boxed{}`, `$$`, one
face over everything, quotes around a phrase, "The answer is", an end token of somebody's chat template. Inside a longer
text the same marks can carry meaning, and stay.
"""

import re
from collections.abc import Callable

_ENVIRONMENTS = "align|aligned|equation|gather|gathered|multline|eqnarray|displaymath|math|center|flushleft"
LATEX_BLOCK = re.compile(rf"\\begin\{{((?:{_ENVIRONMENTS})\*?)\}}(.*)\\end\{{\1\}}", re.S)
BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{(.*)\}", re.S)
# A face or size for the whole answer; inside a formula the same commands carry meaning.
LATEX_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathsf|emph|mbox)\s*\{(.*)\}", re.S)
LATEX_STYLE = re.compile(r"(?:\\(?:displaystyle|large|Large|huge|bf|bfseries|boldsymbol)\s+)(.+)", re.S)
DISPLAY_MATH = re.compile(r"\$\$([^$]+)\$\$|\\\[((?:(?!\\\[|\\\]).)+)\\\]", re.S)
# Inline math is stripped only from text that reads the same without it: no command, no index, no exponent.
INLINE_MATH = re.compile(r"\$([^$\\^_{}]+)\$|\\\(([^$\\^_{}]+)\\\)")
# A box or a text face alone inside math: what is left keeps its "$" only when it needs it.
INLINE_WRAPPED = re.compile(r"(?:\$|\\\()\\(boxed|fbox|text|textbf|textrm|mathrm|mathbf)\s*\{(.*)\}(?:\$|\\\))", re.S)
BOLD = re.compile(r"\*\*\*((?:(?!\*\*).)+)\*\*\*|\*\*((?:(?!\*\*).)+)\*\*", re.S)
HTML_FACE = re.compile(r"<(b|strong|i|em|u|p|span|center|answer)>((?:(?!</?\1\b).)+)</\1>", re.S | re.I)
INLINE_CODE = re.compile(r"`([^`\n]+)`|```(?:text|plaintext)?\n([^`\n]+)\n?```")
QUOTES = re.compile(r'"([^"\n]+)"|“([^“”\n]+)”|«([^«»\n]+)»|「([^「」\n]+)」')
END_TOKEN = re.compile(r"(.+?)\s*(?:</s>|<\|(?:im_end|endoftext|eot_id|end)\|>)", re.S)
# "#### 42" closes the worked answers of one well-known set; "### Answer" is a heading over nothing else.
HASHES = re.compile(r"#{1,6}\s+(?:(?:final\s+)?answer\s*:?\s*\n+\s*)?(?=\S)([^\n]+)", re.I)
_LABEL = r"(?:the\s+)?(?:final\s+|correct\s+|short\s+)?answer"
LABEL = re.compile(
    rf"{_LABEL}\s*:\s*(?=\S)|\*\*{_LABEL}\s*(?::\s*\*\*|\*\*\s*:)\s*(?=\S)|(?:正确)?答案\s*[::为是]\s*(?=\S)", re.I
)
SENTENCE = re.compile(
    r"(?:(?:so|therefore|thus|hence),?\s+)?(?:the|my)\s+(?:final\s+|correct\s+|right\s+)?(?:answer|option|choice)\s+is\s*:?"
    r"\s*(?=\S)",
    re.I,
)
# "The answer is in the book": with such a word next, the answer is a sentence and its beginning no decoration.
_CLAUSE_WORDS = """
    about at because behind beyond both correct either for from given here hidden if in incorrect just left
    likely more neither not obvious of on only quite right simple simply that there to too unclear under unknown
    up very what when where whether which with within wrong
"""
CLAUSE = frozenset(_CLAUSE_WORDS.split())
MAX_PHRASE_WORDS = 4
# How any decoration begins (or ends, for end tokens): most answers begin otherwise and need no further look.
SUSPECT = re.compile(
    r"[\\$*#<`\"“«「]|(?:(?:so|therefore|thus|hence),?\s+)?(?:(?:the|my)\s+)?(?:final\s+|correct\s+|right\s+|short\s+)?"
    r"(?:answer|option|choice)\b|(?:正确)?答案",
    re.I,
)


def strip_decorations(answer: str, *, verbatim: bool = False) -> tuple[str, list[str]]:
    r"""The bare answer and the kinds of decoration that were taken off, outermost first.

    `verbatim` marks free conversation and copied text, where only surrounding whitespace is decoration.

    >>> strip_decorations(r"The answer is $$\boxed{12}$$.")
    ('12', ['answer_prefix', 'display_math', 'boxed'])
    """
    text, kinds = answer.strip(), []
    if text != answer:
        kinds.append("whitespace")
    while not verbatim and (SUSPECT.match(text) or text.endswith(">")):
        for kind, rule in RULES:
            bare = rule(text)
            if bare is not None and (bare := bare.strip()) and bare != text:
                text = bare
                kinds.append(kind)
                break
        else:
            break
    return (text, kinds) if text else (answer, [])


def _inside_braces(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    def inside(text: str) -> str | None:
        match = pattern.fullmatch(text)
        return match.group(1) if match and _balanced(match.group(1)) else None

    return inside


def _inline_wrapped(text: str) -> str | None:
    match = INLINE_WRAPPED.fullmatch(text)
    if match is None or not _balanced(match.group(2)) or "$" in match.group(2):
        return None
    return f"${match.group(2)}$" if re.search(r"[\\^_{}]", match.group(2)) else match.group(2)


def _html_face(text: str) -> str | None:
    match = HTML_FACE.fullmatch(text)
    return match.group(2) if match else None


def _quotes(text: str) -> str | None:
    """A quoted phrase is the phrase; a quoted sentence may be somebody's words."""
    return _one_of(QUOTES)(text) if len(text.split()) <= MAX_PHRASE_WORDS else None


def _latex_block(text: str) -> str | None:
    match = LATEX_BLOCK.fullmatch(text)
    if match is None or r"\begin" in match.group(2) or r"\end" in match.group(2):
        return None
    body = match.group(2).strip().removesuffix(r"\\").strip()
    if r"\\" in body:
        return None  # several lines: their alignment holds them together
    return re.sub(r"\s*(?<!\\)&\s*", " ", body)


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
    ("end_token", _one_of(END_TOKEN)),
    ("answer_prefix", _answer_prefix),
    ("latex_block", _latex_block),
    ("boxed", _inside_braces(BOXED)),
    ("latex_text", _inside_braces(LATEX_TEXT)),
    ("latex_style", _inside_braces(LATEX_STYLE)),
    ("display_math", _one_of(DISPLAY_MATH)),
    ("inline_wrapped", _inline_wrapped),
    ("inline_math", _one_of(INLINE_MATH)),
    ("bold", _one_of(BOLD)),
    ("html_face", _html_face),
    ("inline_code", _one_of(INLINE_CODE)),
    ("quotes", _quotes),
    ("heading", _one_of(HASHES)),
)
