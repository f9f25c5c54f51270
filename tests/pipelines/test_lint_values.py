"""Parameters, constants, placeholders and secrets: one bad and one good pipeline per rule."""
# ruff: noqa: UP006, UP035, UP045 (KFP needs typing.List and typing.Optional)

from typing import List, Optional

import pytest
from kfp import dsl

from pipelines.lint_package import read_packages
from pipelines.lint_values import MAX_ARGUMENT_BYTES, RULES, SECRET_NAME, planted_secret

component = dsl.component(base_image="localhost/test:1", install_kfp_package=False)
KEY = "AKIA" + "IOSFODNN7EXAMPLE"  # the key of Amazon's own documentation, in two parts for the repository's scanners


@component
def word(text: str) -> str:
    return text


@component
def settings(values: dict, names: List[str]):
    pass


@component
def login(api_key: str, tokenizer_sha256: str, kfp_token: str = ""):
    pass


def optional_unset(name: Optional[str] = None):
    word(text=name)


def optional_with_sentinel(name: str = ""):
    word(text=name)


def number_in_a_dict():
    settings(values={"learning": {"rate": 1}}, names=["a"])


def number_in_a_default(values: dict = {"steps": [1]}):  # noqa: B006 (how KFP takes a default)
    settings(values=values, names=["a"])


def number_in_an_item():
    with dsl.ParallelFor([{"source": "a", "rows": 2}]) as item:
        word(text=item.source)


def strings_and_plain_numbers(rows: int = 3):
    settings(values={"name": "a", "on": True}, names=["b"])
    with dsl.ParallelFor([1, 2]):
        word(text="a")


def run_id_in_a_sentence():
    word(text=f"run-{dsl.PIPELINE_JOB_ID_PLACEHOLDER}")


def parameter_in_a_uri(bucket: str):
    word(text=f"s3://{bucket}/data")


def run_id_in_a_list():
    settings(values={}, names=[dsl.PIPELINE_JOB_ID_PLACEHOLDER])


def whole_placeholder(bucket: str):
    word(text=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    word(text=bucket)


def long_constant():
    word(text="a" * (MAX_ARGUMENT_BYTES + 1))


def long_in_bytes_only():
    word(text="é" * (MAX_ARGUMENT_BYTES // 2 + 1))


def longest_constant():
    word(text="a" * MAX_ARGUMENT_BYTES)


def secret_by_name():
    login(api_key="abc", tokenizer_sha256="d")


def secret_by_look():
    word(text=f"use {KEY} please")


def secret_in_a_default(uri: str = "s3://user:word@store/data"):
    word(text=uri)


def secret_in_the_environment():
    word(text="a").set_env_variable("AWS_SECRET_ACCESS_KEY", "abc")


def secret_from_a_parameter(api_key: str):
    login(api_key=api_key, tokenizer_sha256="d").set_env_variable("PLACE", "s3://store/data@v1")


BAD = {
    "optional-unset": [optional_unset],
    "number-in-container": [number_in_a_dict, number_in_a_default, number_in_an_item],
    "embedded-placeholder": [run_id_in_a_sentence, parameter_in_a_uri, run_id_in_a_list],
    "long-argument": [long_constant, long_in_bytes_only],
    "secret": [secret_by_name, secret_by_look, secret_in_a_default, secret_in_the_environment],
}
GOOD = {
    "optional-unset": [optional_with_sentinel],
    "number-in-container": [strings_and_plain_numbers],
    "embedded-placeholder": [whole_placeholder],
    "long-argument": [longest_constant],
    "secret": [secret_from_a_parameter],
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


def test_a_finding_never_quotes_the_secret(broken_rules, tmp_path):
    broken_rules(secret_by_look)
    (package,) = read_packages(next(tmp_path.iterdir()))
    assert list(planted_secret(package)) == [("word", "the value of parameter text looks like a secret")]


def test_an_embedded_program_can_be_too_long(broken_rules):
    def grow(spec):
        (executor,) = spec["deploymentSpec"]["executors"].values()
        executor["container"]["command"][-1] += "#" * MAX_ARGUMENT_BYTES

    assert "long-argument" in broken_rules(optional_with_sentinel, grow)


@pytest.mark.parametrize("name", ["password", "db_password", "HF_TOKEN", "AWS_ACCESS_KEY_ID", "WANDB_API_KEY"])
def test_names_of_secrets(name):
    assert SECRET_NAME.search(name)


@pytest.mark.parametrize("name", ["tokenizer_sha256", "max_new_tokens", "keyboard", "key", "secret_name", "monkey"])
def test_names_of_no_secrets(name):
    assert not SECRET_NAME.search(name)
