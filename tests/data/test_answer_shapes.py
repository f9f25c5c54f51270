"""Shapes are told from the text of an answer alone."""

import pytest

from data.curation.answer_shapes import shape_of

PROSE = "The two boys carry a ladder across the yard while a dog looks on"


@pytest.mark.parametrize(
    ("answer", "shape"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("B", "letter"),
        ("I", "phrase"),
        ("yes", "boolean"),
        ("No.", "boolean"),
        ("12", "number"),
        ("12.", "number"),
        ("-1,200.50 %", "number"),
        ("$5", "number"),
        ("12 cm", "quantity"),
        ("3.5 m/s", "quantity"),
        ("90°", "quantity"),
        ("20 degrees celsius", "quantity"),
        ("$3.2 billion", "quantity"),
        ("5 red cups", "phrase"),
        ("12 monkeys", "phrase"),
        ("dark blue", "phrase"),
        ("a_b", "latex"),
        ("It is red.", "sentence"),
        ("a small red cup on a table", "sentence"),
        (f"{PROSE}. Nobody else is to be seen.", "paragraph"),
        (f"{PROSE}.\n\n{PROSE}.\n\n{PROSE}.", "text"),
        ("One line\nand another", "paragraph"),
        (f"{PROSE}, so that there are three of them. The answer is 3.", "steps"),
        (f"{PROSE}.\nThat makes three altogether, as one can see.\n\nAnswer: 3", "steps"),
        (f"{PROSE}, and then another one comes.\n#### 3", "steps"),
        (
            f"{PROSE}. The answer is not known to anybody who was there, and nobody asked them later, " + "so " * 60,
            "paragraph",
        ),
        ("- a cup\n- a plate", "list"),
        ("1. a cup\n2. a plate\n\n3. a fork", "list"),
        ("Items:\n- a cup\n- a plate\n- a fork", "text"),
        ("[10, 20, 30, 40]", "box"),
        ("[0.1, 0.25, 0.3, 0.99]", "box"),
        ("(10,20,30,40) (1,2,3,4)", "box"),
        ("[[1, 2, 3, 4], [5, 6, 7, 8]]", "box"),
        ("[1, 2, 3]", "json"),
        ("<ref>two dogs</ref><box>[[1, 2, 3, 4], [5, 6, 7, 8]]</box>", "box"),
        ("<ref>a</ref><box>[[1, 2, 3, 4]]</box> <ref>b</ref><box>[[5, 6, 7, 8]]</box>", "box"),
        ("<ref>nose</ref><box>[[12, 30]]</box>", "point"),
        ("<point>[12, 30]</point>", "point"),
        ("[0.5, 0.25]", "point"),
        ("(12, 30)", "point"),
        ('{"a": [1, 2]}', "json"),
        ("{a: 1}", "phrase"),
        ('```json\n{"a": 1}\n```', "json"),
        ("```python\nx = 1\n```", "code"),
        ("```\nx = 1\n```", "code"),
        ("| a | b |\n|---|:-:|\n| 1 | 2 |", "table"),
        ("a | b\n--- | ---\n1 | 2", "table"),
        ("<table><tr><td>1</td></tr></table>", "table"),
        (r"\frac{1}{2}", "latex"),
        ("x^2 + y_{1}", "latex"),
        ("# Title\n\nSome text below it.", "markdown"),
        ("(A) and (B)", "phrase"),
        ("[" * 100_000, "phrase"),
    ],
)
def test_shapes(answer, shape):
    assert shape_of(answer) == shape
