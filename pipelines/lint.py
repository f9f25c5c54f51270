"""The linter of compiled pipelines: every trap of Kubeflow Pipelines that shows in the compiled YAML.

    read_packages           RULES (lint_flow, lint_values, lint_artifacts, lint_code,
    YAML -> Package  ---->         lint_effects, lint_pods, lint_interface)            ----> Finding, one line each

What the YAML can't show, and what covers it instead:
- settings of the runner (raise_on_error, workspace_root, parallelism): pipelines/local_run.py is the only caller;
- `from __future__ import annotations` in a component's file is lost when KFP cuts out the function: tests/components;
- a gate that fails inside a library call: only a raise, assert or exit in the body itself is visible;
- values that a run makes (a list collected from 180 sources): pipelines/scale.py computes their sizes;
- what a cluster adds: RBAC of the launcher, the launcher's ConfigMap, TrainJobs, Kueue. Tests of infra/ and of the
  launcher check these.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pipelines import lint_artifacts, lint_code, lint_effects, lint_flow, lint_interface, lint_pods, lint_values
from pipelines.lint_package import Package, read_packages
from pipelines.lint_rule import Finding, Rule

RULES: tuple[Rule, ...] = (
    *lint_flow.RULES,
    *lint_values.RULES,
    *lint_artifacts.RULES,
    *lint_code.RULES,
    *lint_effects.RULES,
    *lint_pods.RULES,
    *lint_interface.RULES,
)


def check_package(package: Package) -> Iterator[Finding]:
    """What the rules find in one pipeline, in the order of the table."""
    for rule in RULES:
        for task, problem in rule.check(package):
            yield Finding(
                file=package.file, task=task, rule=rule.name, problem=problem, remedy=rule.remedy, note=rule.note
            )


def check_files(paths: Iterable[Path]) -> list[Finding]:
    """All findings in compiled files; `AerieError` for a file that isn't one."""
    return [finding for path in paths for package in read_packages(path) for finding in check_package(package)]
