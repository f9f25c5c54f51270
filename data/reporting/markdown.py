"""Tables in Markdown, for the KFP UI; cells are text from data, so whatever Markdown or HTML would read is escaped."""

import re
from collections.abc import Iterable, Sequence

SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|&~])")


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]], left: int = 2) -> str:
    """A table; columns after the first `left` are numbers, aligned right."""
    rule = [*[":--"] * left, *["--:"] * (len(headers) - left)]
    lines = [headers, rule, *([escaped(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def escaped(text: str) -> str:
    """Text that stays text on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))
