r"""LaTeX where nobody asked for a formula (paper: fixed forms such as `\begin{align*}` that a source has taught).

A pattern is named by its outermost sign, which is what the training answers are then searched for.
"""

import re

from data.curation.answer_families import FAMILY_OF_TASK
from data.curation.answer_shapes import FENCED
from data.curation.decorations import DISPLAY_MATH, INLINE_MATH
from data.curation.rules import CODE
from data.curation.rules_leaks import LATEX_BLOCK
from data.curation.rules_markup import NO_FORMULA
from model.evaluation.signatures.reply import Reply

BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
FACE = re.compile(r"\\(text(?:bf|it|rm|tt)?|math(?:rm|bf|sf|it|cal|bb)|emph|mbox|operatorname)\s*\{")
OPEN_DISPLAY = re.compile(r"\\\[\s*\S|\$\$\s*\\")  # also of an output that was cut off before it closed
_COMMANDS = """
    frac dfrac tfrac sqrt times cdot div pm mp le leq ge geq ne neq approx equiv infty sum prod int lim log ln sin cos
    tan alpha beta gamma delta theta lambda mu pi sigma phi omega Delta Omega circ angle triangle parallel perp left
    right quad qquad ldots cdots rightarrow Rightarrow overline underline vec hat displaystyle therefore because cup cap
"""
COMMAND = re.compile(rf"\\(?:{'|'.join(_COMMANDS.split())})(?![a-zA-Z])")
INDEX = re.compile(r"[\w)}\]][_^]\{")
INLINE = re.compile(r"\$[^$\n]*[\\^_=][^$\n]*\$|\\\(.+?\\\)", re.S)
# Words of a question about formulas; "the expression on her face" has none of them.
EQUATION = re.compile(
    r"\b(?:latex|formula[es]?|equations?|math\w*|algebra\w*|integrals?|derivatives?|polynomials?|simplify|theorem)\b"
    r"|公式|方程|算式|数学",
    re.I,
)


def latex_mark(text: str) -> str:
    r"""The outermost sign of LaTeX in a text: `\begin{align*}`, `\boxed`, `$$`, `\text`, ...; "" without one.

    >>> latex_mark(r"\begin{align*} 12 \end{align*}"), latex_mark("It costs $5 or $6.")
    ('\\begin{align*}', '')
    """
    fenced = FENCED.fullmatch(text.strip())
    if fenced and fenced.group(1).lower() in ("latex", "tex"):
        text = fenced.group(2)
    if not any(sign in text for sign in "\\$^_"):
        return ""
    text = CODE.sub(" ", text)
    if block := LATEX_BLOCK.search(text):
        return rf"\begin{{{block.group(2)}}}"
    if BOX.search(text):
        return r"\boxed"
    if _displayed(text):
        return "$$"
    if face := FACE.search(text):
        return f"\\{face.group(1)}"
    if COMMAND.search(text):
        return r"\command"
    if INDEX.search(text):
        return "^{ }"
    return "$ $" if _inline(NO_FORMULA.sub(" ", text)) else ""


def _displayed(text: str) -> bool:
    """Display math; the price range "$$ - $$" is none."""
    if OPEN_DISPLAY.search(text):
        return True
    found = DISPLAY_MATH.search(text)
    return found is not None and any(map(str.isalnum, found.group(0)))


def _inline(text: str) -> bool:
    """Inline math somewhere, or a whole answer between `$` signs."""
    return INLINE.search(text) is not None or INLINE_MATH.fullmatch(text.strip()) is not None


def pattern(reply: Reply) -> str:
    """`latex_mark` of the answer."""
    return latex_mark(reply.text)


def misplaced(reply: Reply) -> bool:
    """Whether neither the question nor a reference is about a formula."""
    about = (
        reply.category == "mathematics"
        or FAMILY_OF_TASK.get(reply.task) == "latex"
        or "mathematical expression" in str(reply.known.get("type", "")).lower()
        or EQUATION.search(reply.question)
        or latex_mark(reply.question)
    )
    return not about and not any(map(latex_mark, reply.references))
