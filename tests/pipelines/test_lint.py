"""The linter as a whole: our own pipelines, the command, files that are no pipelines."""

import dataclasses

import pytest
from typer.testing import CliRunner

from data.errors import AerieError
from pipelines.cli import app
from pipelines.compiling import compile_pipelines
from pipelines.lint import RULES, check_files
from pipelines.lint_package import read_packages


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return {path.stem: path for path in compile_pipelines(tmp_path_factory.mktemp("compiled"))}


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_every_rule_says_what_and_why_under_a_name_of_its_own():
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.fact and rule.remedy and rule.check.__doc__ for rule in RULES)


@pytest.mark.parametrize("name", ["curate", "post_train", "end_to_end"])
def test_our_pipelines_break_no_rule(name, compiled):
    findings = check_files([compiled[name]])
    assert [finding.line() for finding in findings if not finding.note] == []


def test_the_package_holds_every_task_with_its_graphs(compiled):
    (package,) = read_packages(compiled["end_to_end"])
    by_name = {task.name: task for task in package.tasks}
    assert len(by_name) == len(package.tasks)
    sourcing = by_name["sourcing"]
    assert sourcing.path.endswith("/for-loop-1/sourcing")
    assert next(above.name for above in sourcing.ancestors) == "for-loop-1"
    assert sourcing.source.name == sourcing.function == "sourcing"
    assert sourcing.origin("source") == ("item", "pipelinechannel--sources-loop-item")
    assert sourcing.origin("storage_uri") == ("input", "storage_uri")
    assert by_name["packing-2"].origin("stage") == ("constant", "stage_1_5")
    assert by_name["stage-2"].origin("parent_sha256") == ("output", "stage-1-5")


def test_check_of_our_own_pipelines(tmp_path):
    result = call("compile", "--check", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "3 pipelines checked" in result.output


def test_check_of_a_bad_file_says_where_what_and_what_to_do(compiled, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        compiled["end_to_end"].read_text().replace("cachingOptions: {}", "cachingOptions: {enableCache: true}")
    )
    result = call("compile", "--check", bad, compiled["curate"])
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if "stages/stage-1:" in line and "note:" not in line]
    assert line == (
        f"{bad}: exit-handler-1/aerie-stages/stage-1: [cached-effect] caching is on, but the task launches TrainJobs; "
        "set_caching_options(False)"
    )


def test_the_pinned_images_leave_no_note(compiled):
    (package,) = read_packages(compiled["curate"])
    for task in package.pods:
        task.container["image"] = "registry.example/data@sha256:" + "a" * 64
    (rule,) = [rule for rule in RULES if rule.name == "local-image"]
    assert list(rule.check(package)) == []
    assert list(rule.check(dataclasses.replace(package, tasks=()))) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("just words", "holds no compiled pipeline"),
        ("kind: Deployment", "holds no compiled pipeline"),
        ("pipelineInfo: {name: a}\nroot: {}", "is not a whole compiled pipeline"),
        ("kind: PipelineVersion\nspec: {}", "is not a whole compiled pipeline"),
    ],
)
def test_files_that_are_no_pipelines(text, message, tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text(text)
    with pytest.raises(AerieError, match=message):
        check_files([path])


def test_mistakes_at_the_command_line(tmp_path):
    missing = call("compile", "--check", tmp_path / "missing.yaml")
    assert (missing.exit_code, "missing.yaml" in missing.output) == (2, True)
    without = call("compile", tmp_path / "some.yaml")
    assert (without.exit_code, "add --check" in without.output) == (2, True)
