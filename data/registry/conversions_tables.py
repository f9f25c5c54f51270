"""Questions about a table with answers computed from its printed cells, exact to the last digit."""

from decimal import Decimal, InvalidOperation
from typing import Any

from data.registry import phrasings
from data.registry.conversions import Asking, Pair
from data.registry.raw.problems import BadRowError
from data.registry.raw.text import clean

MOST_CELLS = 10_000  # a larger table can't be shown in one image
EXTREMES = ((phrasings.HIGHEST, max, "max"), (phrasings.LOWEST, min, "min"))


def tables(document: dict[str, Any], asking: Asking) -> list[Pair]:
    """Look-ups, highest, lowest, difference and sum, for each column of numbers. The first column names the rows.

    `table` is `{columns, rows}`, or a list of objects with the same keys. Rows that share a name and ties give no
    question whose answer would be doubtful.
    """
    if document.get("table") is None:
        return []
    columns, rows = _table(document["table"])
    names = [row[0] for row in rows]
    single = [index for index, name in enumerate(names) if name and names.count(name) == 1]
    pairs: list[Pair] = []
    for place, column in enumerate(columns[1:], 1):
        numbers = {index: number for index in single if (number := _number(rows[index][place])) is not None}
        if len(numbers) >= 2 and len(numbers) == len(rows):
            pairs += _compared(asking, columns[0], column, names, numbers)
        shown = [index for index in single if rows[index][place]]
        if shown:
            index = min(shown, key=lambda index: asking.rank("look up", column, names[index]))
            task = "value_at" if index in numbers else "cell"
            pairs.append(
                (_asked(asking, phrasings.LOOK_UP, column=column, label=names[index]), rows[index][place], task)
            )
    return pairs


def markdown(table: Any) -> str:
    """The table as text, for a question without an image."""
    columns, rows = _table(table)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _compared(asking: Asking, row_name: str, column: str, names: list[str], numbers: dict[int, Decimal]) -> list[Pair]:
    pairs: list[Pair] = []
    for wordings, extreme, task in EXTREMES:
        best = extreme(numbers.values())
        winners = [index for index, number in numbers.items() if number == best]
        if len(winners) == 1:
            pairs.append((_asked(asking, wordings, row=row_name, column=column), names[winners[0]], task))
    one, other = sorted(sorted(numbers, key=lambda index: asking.rank("difference", column, names[index]))[:2])
    question = _asked(asking, phrasings.DIFFERENCE, column=column, label=names[one], other=names[other])
    pairs.append((question, _printed(abs(numbers[one] - numbers[other])), "difference"))
    pairs.append((_asked(asking, phrasings.TOTAL, column=column), _printed(sum(numbers.values(), Decimal(0))), "total"))
    return pairs


def _asked(asking: Asking, wordings: tuple[str, ...], **names: str) -> str:
    question = asking.words(wordings, *names.values())
    for field, name in names.items():
        question = question.replace("{" + field + "}", name)
    return question


def _table(table: Any) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of cells as texts."""
    if isinstance(table, list) and table and all(isinstance(row, dict) for row in table):
        table = {"columns": list(table[0]), "rows": [[row.get(name) for name in table[0]] for row in table]}
    columns, rows = (table.get("columns"), table.get("rows")) if isinstance(table, dict) else (None, None)
    if not isinstance(columns, list) or not isinstance(rows, list) or len(columns) < 2 or not rows:
        raise BadRowError("invalid_table", "`table` needs at least two columns and a row")
    if len(columns) * len(rows) > MOST_CELLS:
        raise BadRowError("row_too_large", f"{len(rows)} rows of {len(columns)} cells, {MOST_CELLS} cells are allowed")
    if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        raise BadRowError("invalid_table", f"every row needs {len(columns)} cells")
    names = [_cell(name) for name in columns]
    if not all(names) or len(set(names)) != len(names):
        raise BadRowError("invalid_table", f"column names must be there and differ: {names}")
    return names, [[_cell(cell) for cell in row] for row in rows]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise BadRowError("invalid_table", f"a cell must be text or a number, found {value!r}")
    return clean(str(value), "a cell").strip()


def _number(cell: str) -> Decimal | None:
    """The number that a cell prints, None for anything else: nothing with units, exponents or forty digits."""
    text = cell.replace(",", "")
    if len(text) > 40 or not any(letter.isdigit() for letter in text) or "e" in text.lower() or "_" in text:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _printed(number: Decimal) -> str:
    return format(number, "f")
