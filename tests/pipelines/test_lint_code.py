"""The source inside a component: one bad and one good pipeline per rule. The bodies are never run."""
# ruff: noqa: UP006, UP035 (KFP needs typing.List)

import math
from typing import List

import pytest
from kfp import dsl

from pipelines.lint_code import RULES

component = dsl.component(base_image="localhost/test:1", install_kfp_package=False)
LIMIT = 3


@component
def uses_a_constant_of_its_module():
    print(LIMIT)


@component
def uses_an_import_of_its_module():
    print(math.pi)


@component
def brings_everything_along(names: List[str]) -> str:
    import math
    from pathlib import Path as Place

    limit = max(len(name) for name in names)

    def inner(number: int) -> int:
        return number + limit

    try:
        with Place("x").open() as file:
            first, *rest = file
    except OSError as error:
        return str(error)
    return f"{math.pi} {inner(1)} {first} {[len(r) for r in rest]}"


@component
def reports_and_raises(page: dsl.Output[dsl.HTML]):
    raise ValueError("too many invalid rows")


@component
def reports_and_exits(metrics: dsl.Output[dsl.Metrics]):
    import sys

    sys.exit(1)


@component
def reports(page: dsl.Output[dsl.HTML]):
    print("written")


@component
def fails(number: int):
    assert number, "too many invalid rows"


@component
def logs_anything(metrics: dsl.Output[dsl.Metrics], value: float):
    metrics.log_metric("loss", value)


@component
def logs_finite_numbers(metrics: dsl.Output[dsl.Metrics], value: float):
    import math

    if math.isfinite(value):
        metrics.log_metric("loss", value)


@component
def moves_its_output(data: dsl.Output[dsl.Dataset]):
    data.uri = "s3://elsewhere/data"


@component
def tells_where_data_lies(data: dsl.Output[dsl.Dataset]):
    data.metadata["uri"] = "s3://elsewhere/data"


@component
def knows_one_state(state: str):
    print(state == "SUCCEEDED")


@component
def knows_both_states(state: str):
    print(state in {"COMPLETE", "SUCCEEDED"})


@component
def writes_a_removed_field():
    print({"podSpecOverrides": []})


@component
def writes_a_field():
    print({"runtimePatches": []})


@dsl.component(base_image="localhost/test:1")
def installs_kfp():
    pass


@dsl.component(base_image="localhost/test:1", install_kfp_package=False, packages_to_install=["numpy"])
def installs_numpy():
    pass


BAD = {
    "module-name": [uses_a_constant_of_its_module, uses_an_import_of_its_module],
    "failing-report": [reports_and_raises, reports_and_exits],
    "unchecked-metric": [logs_anything],
    "output-uri": [moves_its_output],
    "one-final-state": [knows_one_state],
    "dropped-field": [writes_a_removed_field],
    "install-at-start": [installs_kfp, installs_numpy],
}
GOOD = {
    "module-name": [brings_everything_along],
    "failing-report": [reports, fails],
    "unchecked-metric": [logs_finite_numbers],
    "output-uri": [tells_where_data_lies],
    "one-final-state": [knows_both_states],
    "dropped-field": [writes_a_field],
    "install-at-start": [reports],
}
VALUES = {"names": ["a"], "number": 1, "value": 1.0, "state": "x"}


def pairs(cases):
    return [pytest.param(rule, one, id=f"{rule}-{one.name}") for rule, many in cases.items() for one in many]


def pipeline_of(one):
    def single():
        one(**{name: VALUES[name] for name in one.component_spec.inputs or {}})

    return single


def test_every_rule_has_a_bad_and_a_good_component():
    assert set(BAD) == set(GOOD) == {rule.name for rule in RULES}


@pytest.mark.parametrize(("rule", "one"), pairs(BAD))
def test_bad(rule, one, broken_rules):
    assert rule in broken_rules(pipeline_of(one))


@pytest.mark.parametrize(("rule", "one"), pairs(GOOD))
def test_good(rule, one, broken_rules):
    assert rule not in broken_rules(pipeline_of(one))
