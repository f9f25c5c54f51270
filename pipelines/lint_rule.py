"""A rule of the linter and what it finds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipelines.lint_package import Package

# Where (the path of a task, or `pipeline`) and what is wrong there.
Trouble = tuple[str, str]
PIPELINE = "pipeline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One trap.

    fact: what Kubeflow Pipelines does that makes it a trap. remedy: what to write instead.
    note: worth a line, but no reason to refuse the pipeline.
    """

    name: str
    fact: str
    remedy: str
    check: Callable[[Package], Iterable[Trouble]]
    note: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place of one file that a rule objects to; it never quotes a value that could be a secret."""

    file: str
    task: str
    rule: str
    problem: str
    remedy: str
    note: bool

    def line(self) -> str:
        """One line for a person: file, task path, rule, what is wrong, what to do."""
        kind = "note: " if self.note else ""
        return f"{self.file}: {self.task}: {kind}[{self.rule}] {self.problem}; {self.remedy}"
