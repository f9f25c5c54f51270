"""Questions about the cells, rows and columns of a table."""

import random
from decimal import Decimal

from data.curation.added_turns import AddedTurn, unless_asked
from data.curation.augmentation_charts import extreme_of, mean_of, places, shown
from data.curation.augmentation_facts import MAX_NAME_CHARS, Point, Table, table_of, written
from data.schema import Sample


def table_cell(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """What stands in one cell."""
    table = table_of(sample)
    cells = [
        (row[0], column, cell)
        for row in (table.rows if table else ())
        for column, cell in zip(table.columns[1:] if table else (), row[1:], strict=True)
        if 0 < len(cell) <= MAX_NAME_CHARS
    ]
    if not cells:
        return None
    row, column, cell = rng.choice(cells)
    words = ("What is the {column} of {row}?", "What does the table say for {row} under {column}?")
    question = rng.choice(words).format(row=row, column=column)
    return unless_asked(sample, question, cell, "cell", {"row": row, "column": column})


def table_max(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """The row with a column's highest number."""
    words = ("Which {name} has the highest {column}?", "In which row is {column} highest?")
    return _extreme(sample, rng, "max", words)


def table_min(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """The row with a column's lowest number."""
    words = ("Which {name} has the lowest {column}?", "In which row is {column} lowest?")
    return _extreme(sample, rng, "min", words)


def _extreme(sample: Sample, rng: random.Random, task: str, words: tuple[str, ...]) -> AddedTurn | None:
    table = table_of(sample)
    numeric = table.numeric if table else {}
    winners = {column: name for column, points in numeric.items() if (name := extreme_of(points, task))}
    if table is None or not winners:
        return None
    column = rng.choice(sorted(winners))
    question = rng.choice(words).format(name=table.columns[0], column=column)
    inputs = {"column": column, "values": shown(numeric[column])}
    return unless_asked(sample, question, winners[column], task, inputs)


def table_difference(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """By how much two rows differ in one column."""
    picked = _column(sample, rng)
    if picked is None:
        return None
    _, column, points = picked
    one, two = rng.sample(points, 2)
    words = (
        "What is the difference in {column} between {a} and {b}?",
        "By how much do {a} and {b} differ in {column}?",
    )
    question = rng.choice(words).format(column=column, a=one[0], b=two[0])
    inputs = {"column": column, "values": shown((one, two))}
    return unless_asked(sample, question, written(abs(one[1] - two[1])), "difference", inputs)


def table_sum(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """The sum of a column."""
    picked = _column(sample, rng)
    if picked is None:
        return None
    _, column, points = picked
    words = ("What is the sum of the column {column}?", "What do all rows add up to in {column}?")
    total = written(sum((value for _, value in points), Decimal(0)))
    inputs = {"column": column, "values": shown(points)}
    return unless_asked(sample, rng.choice(words).format(column=column), total, "sum", inputs)


def table_average(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """The mean of a column, to one decimal more than its numbers have."""
    picked = _column(sample, rng)
    if picked is None:
        return None
    _, column, points = picked
    answer, digits = mean_of(points)
    words = ("What is the average of the column {column}, to {places}?", "What is the mean {column}, to {places}?")
    question = rng.choice(words).format(column=column, places=places(digits))
    return unless_asked(sample, question, answer, "average", {"column": column, "values": shown(points)})


def table_row_sum(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """The sum of two of a row's numbers."""
    table = table_of(sample)
    numeric = table.numeric if table else {}
    if table is None or len(numeric) < 2:
        return None
    row = rng.choice(table.names)
    columns = rng.sample(sorted(numeric), 2)
    values = [(column, dict(numeric[column])[row]) for column in columns]
    words = ("What is the sum of {a} and {b} for {row}?", "For {row}, what do {a} and {b} add up to?")
    question = rng.choice(words).format(a=columns[0], b=columns[1], row=row)
    total = written(sum((value for _, value in values), Decimal(0)))
    return unless_asked(sample, question, total, "sum", {"row": row, "values": shown(values)})


def table_count_above(sample: Sample, rng: random.Random) -> AddedTurn | None:
    """How many rows have a higher number than a named one."""
    picked = _column(sample, rng)
    if picked is None or len(picked[2]) < 3:
        return None
    _, column, points = picked
    name, value = rng.choice(points)
    words = ("How many rows have a higher {column} than {name}?", "In {column}, how many rows are above {name}?")
    question = rng.choice(words).format(column=column, name=name)
    above = str(sum(other > value for _, other in points))
    return unless_asked(sample, question, above, "count_above", {"column": column, "values": shown(points)})


def _column(sample: Sample, rng: random.Random) -> tuple[Table, str, tuple[Point, ...]] | None:
    """A seeded column of numbers."""
    table = table_of(sample)
    numeric = table.numeric if table else {}
    if table is None or not numeric:
        return None
    column = rng.choice(sorted(numeric))
    return table, column, numeric[column]
