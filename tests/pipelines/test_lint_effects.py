"""Caching, repeats and the end of a run: one bad and one good pipeline per rule."""

import pytest
from kfp import dsl

from pipelines.lint_effects import RULES

component = dsl.component(base_image="localhost/test:1", install_kfp_package=False)


@component
def clean(run_id: str, recipe_sha256: str):
    pass


@component
def read(data_uri: str):
    pass


@component
def read_known(data_uri: str, data_sha256: str):
    pass


@component
def publish_model(run_id: str, model_sha256: str):
    pass


@component
def report(run_id: str, model_sha256: str):
    pass


@component
def train(run_id: str, kfp_run_id: str, training_runtime: str):
    pass


@component
def train_anonymously(training_runtime: str):
    pass


@component
def cleanup(kfp_run_id: str, status: dsl.PipelineTaskFinalStatus):
    pass


@component
def say_goodbye(name: str):
    pass


def start_training(runtime):
    task = train(run_id="r", kfp_run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER, training_runtime=runtime)
    return task.set_caching_options(False)


@dsl.pipeline(name="inner")
def inner(training_runtime: str):
    start_training(training_runtime)


def exit_task():
    return cleanup(kfp_run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER).set_caching_options(False)


def cached_publishing():
    publish_model(run_id="r", model_sha256="s")


def cached_launch(runtime: str):
    train(run_id="r", kfp_run_id="k", training_runtime=runtime)


def cached_report():
    report(run_id="r", model_sha256="s")


def cached_exit_task():
    with dsl.ExitHandler(say_goodbye(name="a")):
        clean(run_id="r", recipe_sha256="s")


def effects_without_cache(runtime: str):
    with dsl.ExitHandler(exit_task()):
        clean(run_id="r", recipe_sha256="s")
        publish_model(run_id="r", model_sha256="s").set_caching_options(False)
        start_training(runtime)


def cached_by_place():
    read(data_uri="s3://bucket/data")


def cached_by_content():
    read_known(data_uri="s3://bucket/data", data_sha256="s")


def by_place_without_cache():
    read(data_uri="s3://bucket/data").set_caching_options(False)


def cached_with_environment():
    clean(run_id="r", recipe_sha256="s").set_env_variable("MODE", "fast")


def environment_without_cache():
    clean(run_id="r", recipe_sha256="s").set_env_variable("MODE", "fast").set_caching_options(False)


def own_cache_key():
    clean(run_id="r", recipe_sha256="s").set_caching_options(True, cache_key="mine")


def retried_without_identity():
    say_goodbye(name="a").set_retry(num_retries=2)


def launch_without_identity(runtime: str):
    train_anonymously(training_runtime=runtime).set_caching_options(False)


def retried_with_identity():
    clean(run_id="r", recipe_sha256="s").set_retry(num_retries=2)


def launch_without_exit_handler(runtime: str):
    start_training(runtime)


def nested_launch_without_exit_handler(runtime: str):
    with dsl.ExitHandler(exit_task()):
        clean(run_id="r", recipe_sha256="s")
    inner(training_runtime=runtime)


def exit_task_that_knows_no_run(runtime: str):
    with dsl.ExitHandler(say_goodbye(name="a")):
        start_training(runtime)


def nested_launch_in_exit_handler(runtime: str):
    with dsl.ExitHandler(exit_task()):
        inner(training_runtime=runtime)


def forget_strategy(spec, *rest):
    for task in spec["root"]["dag"]["tasks"].values():
        task.pop("triggerPolicy", None)


BAD = {
    "cached-effect": [cached_publishing, cached_launch, cached_report, cached_exit_task],
    "cached-blindly": [cached_by_place],
    "cached-environment": [cached_with_environment],
    "custom-cache-key": [own_cache_key],
    "unsafe-repeat": [retried_without_identity, launch_without_identity],
    "missing-exit-handler": [
        launch_without_exit_handler,
        nested_launch_without_exit_handler,
        exit_task_that_knows_no_run,
    ],
    "missing-lifetime": [cached_by_content],
}
GOOD = {
    "cached-effect": [effects_without_cache],
    "cached-blindly": [cached_by_content, by_place_without_cache],
    "cached-environment": [environment_without_cache],
    "custom-cache-key": [cached_by_content],
    "unsafe-repeat": [retried_with_identity, effects_without_cache],
    "missing-exit-handler": [effects_without_cache, nested_launch_in_exit_handler],
    "exit-strategy": [effects_without_cache, nested_launch_in_exit_handler],
}


def pairs(cases):
    return [pytest.param(rule, one, id=f"{rule}-{one.__name__}") for rule, many in cases.items() for one in many]


def test_every_rule_has_a_bad_and_a_good_pipeline():
    rules = {rule.name for rule in RULES}
    assert set(BAD) == rules - {"exit-strategy"}, "the DSL can't write it: test_an_exit_task_without_its_strategy"
    assert set(GOOD) == rules - {"missing-lifetime"}, "test_lifetimes"


@pytest.mark.parametrize(("rule", "pipeline"), pairs(BAD))
def test_bad(rule, pipeline, broken_rules):
    assert rule in broken_rules(pipeline)


@pytest.mark.parametrize(("rule", "pipeline"), pairs(GOOD))
def test_good(rule, pipeline, broken_rules):
    assert rule not in broken_rules(pipeline)


@pytest.mark.parametrize("pipeline", [effects_without_cache, cached_exit_task])
def test_an_exit_task_without_its_strategy(pipeline, broken_rules):
    assert "exit-strategy" in broken_rules(pipeline, forget_strategy)


@pytest.mark.parametrize(
    ("settings", "enough"),
    [
        ({"ttl_seconds_after_finished": 9}, True),
        ({"ttl_seconds_after_success": 9, "ttl_seconds_after_failure": 9}, True),
        ({"ttl_seconds_after_success": 9}, False),
        ({"active_deadline_seconds": 9}, False),
    ],
)
def test_lifetimes(settings, enough, broken_rules):
    config = dsl.PipelineConfig(**settings)
    assert ("missing-lifetime" not in broken_rules(cached_by_content, pipeline_config=config)) == enough
