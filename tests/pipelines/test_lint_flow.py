"""Conditions, loops and joins: one bad and one good pipeline per rule, made with KFP's own compiler."""
# ruff: noqa: UP006, UP035 (KFP needs typing.List)

from typing import List

import pytest
from kfp import dsl

from pipelines.lint_flow import RULES

component = dsl.component(base_image="localhost/test:1", install_kfp_package=False)


@component
def number() -> float:
    return 1.0


@component
def flag() -> bool:
    return True


@component
def word(text: str) -> str:
    return text


@component
def words() -> List[str]:
    return ["a"]


@component
def untyped() -> list:
    return [1]


@component
def write(data: dsl.Output[dsl.Dataset]):
    pass


@component
def read(data: dsl.Input[dsl.Dataset]):
    pass


@component
def join(parts: List[str]):
    pass


def float_with_int():
    with dsl.If(number().output > 0):
        word(text="a")


def float_with_float():
    with dsl.If(number().output > 0.0):
        word(text="a")


def compares_the_word_double():
    with dsl.If(word(text="b").output == "double(0)"):
        word(text="a")


def bool_with_one():
    with dsl.If(flag().output == 1):
        word(text="a")


def bool_with_true():
    with dsl.If(flag().output == True):  # noqa: E712 (KFP overloads ==)
        word(text="a")
    with dsl.Else():
        word(text="b")


def apostrophe():
    with dsl.If(word(text="b").output == "it's"):
        word(text="a")


def pair_of_quotes():
    with dsl.If(word(text="b").output == "a'b'c"):
        word(text="a")


def double_quote():
    with dsl.If(word(text="b").output == 'say "a"'):
        word(text="a")


def second_comparison():
    with dsl.If(word(text="b").output == "x' == 'x"):
        word(text="a")


def plain_words_and_numbers(count: int, name: str):
    with dsl.If(count >= -2):
        word(text="a")
    with dsl.Elif(name == "two words, (and a bracket)"):
        word(text="b")
    with dsl.Else():
        word(text="c")


def condition_on_items_of_a_task():
    with dsl.ParallelFor(words().output) as item, dsl.If(item == "a"):
        word(text="a")


def condition_two_loops_below():
    with dsl.ParallelFor(words().output) as item, dsl.ParallelFor(["x"]):
        copy = word(text=item)
        with dsl.If(copy.output == "a"):
            word(text="a")


def condition_on_items_of_a_parameter(names: List[str]):
    with dsl.ParallelFor(names) as item:
        copy = word(text=item)
        with dsl.If(copy.output == "a"):
            word(text="a")


def untyped_parameter(names: list = [1, 2]):  # noqa: B006 (how KFP takes a default)
    with dsl.ParallelFor(names) as item:
        word(text=item)


def untyped_output():
    with dsl.ParallelFor(untyped().output) as item:
        word(text=item)


def typed_lists(names: List[str] = ["a"]):  # noqa: B006
    with dsl.ParallelFor(names) as item:
        word(text=item)
    with dsl.ParallelFor(words().output) as item:
        word(text=item)


def collected(names: List[str]):
    with dsl.ParallelFor(names) as item:
        copy = word(text=item)
    join(parts=dsl.Collected(copy.output))


def collected_from_an_empty_default(names: List[str] = []):  # noqa: B006
    with dsl.ParallelFor(names) as item:
        copy = word(text=item)
    join(parts=dsl.Collected(copy.output))


def one_of_artifacts():
    with dsl.If(number().output > 0.0):
        one = write()
    with dsl.Else():
        two = write()
    read(data=dsl.OneOf(one.outputs["data"], two.outputs["data"]))


def one_of_strings():
    with dsl.If(number().output > 0.0):
        one = word(text="a")
    with dsl.Else():
        two = word(text="b")
    word(text=dsl.OneOf(one.output, two.output))


def loop_over_artifacts(parts: dsl.Input[List[dsl.Dataset]]):
    with dsl.ParallelFor(parts) as part:
        read(data=part)


def wide_loop():
    with dsl.ParallelFor([str(number) for number in range(501)]) as item:
        word(text=item)


def loop_of_180():
    with dsl.ParallelFor([str(number) for number in range(180)]) as item:
        word(text=item)


BAD = {
    "float-comparison": [float_with_int],
    "bool-comparison": [bool_with_one],
    "quoted-literal": [apostrophe, pair_of_quotes, double_quote, second_comparison],
    "condition-in-task-loop": [condition_on_items_of_a_task, condition_two_loops_below],
    "untyped-items": [untyped_parameter, untyped_output],
    "collected-empty": [collected_from_an_empty_default],
    "one-of-artifacts": [one_of_artifacts],
    "artifact-loop": [loop_over_artifacts],
    "wide-loop": [wide_loop],
}
GOOD = {
    "float-comparison": [float_with_float, compares_the_word_double],
    "bool-comparison": [bool_with_true],
    "quoted-literal": [plain_words_and_numbers, compares_the_word_double],
    "condition-in-task-loop": [condition_on_items_of_a_parameter],
    "untyped-items": [typed_lists],
    "collected-empty": [collected],
    "one-of-artifacts": [one_of_strings],
    "artifact-loop": [collected],
    "wide-loop": [loop_of_180],
}


def pairs(cases):
    return [pytest.param(rule, one, id=f"{rule}-{one.__name__}") for rule, many in cases.items() for one in many]


def test_every_rule_has_a_bad_and_a_good_pipeline():
    assert set(BAD) == set(GOOD) == {rule.name for rule in RULES}


@pytest.mark.parametrize(("rule", "pipeline"), pairs(BAD))
def test_bad(rule, pipeline, broken_rules):
    assert rule in broken_rules(pipeline)


@pytest.mark.parametrize(("rule", "pipeline"), pairs(GOOD))
def test_good(rule, pipeline, broken_rules):
    assert rule not in broken_rules(pipeline)


def test_an_empty_constant_list_which_the_dsl_refuses(broken_rules):
    def empty(spec):
        (loop,) = (task for name, task in spec["root"]["dag"]["tasks"].items() if name.startswith("for-loop"))
        loop["parameterIterator"]["items"] = {"raw": "[]"}

    assert "collected-empty" in broken_rules(collected, empty)
