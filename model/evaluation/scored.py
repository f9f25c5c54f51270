"""Scores of stored predictions by a rule set: a pure function of both, without the network that answered."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.errors import AerieError
from model.evaluation.answered import Answered, Verdict
from model.evaluation.rules import RULE_SETS, summarise, verdict

HEADLINE = "score"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One benchmark by one rule set.

    `numbers` are those of `model.evaluation.rules.summarise`: "score" in 0..100 (OCRBench 0..1000), what else the
    benchmark's authors report, and counts of questions.
    """

    benchmark: str
    rules: str
    numbers: dict[str, float]
    verdicts: tuple[Verdict, ...]

    @property
    def final(self) -> float | None:
        """The headline that an average may count: None while a judge has still to score an answer."""
        return final_score(self.numbers)

    @property
    def score(self) -> float | None:
        """The headline; None when nothing was judged."""
        return self.numbers.get(HEADLINE)


def final_score(numbers: Mapping[str, float]) -> float | None:
    """The headline of `summarise`'s numbers, None while an answer is unjudged: an empty one needs no judge to be 0."""
    return None if numbers["unjudged"] else numbers.get(HEADLINE)


def check_rules(names: Sequence[str]) -> None:
    """`AerieError` for a rule set that there isn't."""
    for name in names:
        if name not in RULE_SETS:
            raise AerieError(f"unknown rule set {name!r}; choose from {', '.join(RULE_SETS)}")


def by_benchmark(rows: Sequence[Answered]) -> dict[str, list[Answered]]:
    """Rows of each benchmark, both in the order they come."""
    grouped: defaultdict[str, list[Answered]] = defaultdict(list)
    for row in rows:
        grouped[row.benchmark].append(row)
    return dict(grouped)


def scored(rows: Sequence[Answered], rules: str) -> list[Scored]:
    """Each benchmark's scores by one rule set; `AerieError` for an unknown rule set or a row that it can't score."""
    check_rules([rules])
    results = []
    for benchmark, answers in by_benchmark(rows).items():
        verdicts = tuple(verdict(row, rules) for row in answers)
        results.append(
            Scored(
                benchmark=benchmark,
                rules=rules,
                numbers=dict(summarise(answers, verdicts, rules)),
                verdicts=verdicts,
            )
        )
    return results


def rule_table(rows: Sequence[Answered]) -> list[dict[str, Any]]:
    """For each benchmark its number of questions and its numbers by every rule set, as JSON types."""
    tables = {name: scored(rows, name) for name in RULE_SETS}
    return [
        {
            "benchmark": benchmark,
            "rule": answers[0].rule,
            "questions": len(answers),
            "rules": {name: results[place].numbers for name, results in tables.items()},
        }
        for place, (benchmark, answers) in enumerate(by_benchmark(rows).items())
    ]


def gap(scores: Sequence[float | None]) -> float | None:
    """How far apart rule sets put one benchmark: highest minus lowest headline, None where one has none."""
    known = [score for score in scores if score is not None]
    return max(known) - min(known) if known and len(known) == len(scores) else None


def verdict_lines(rows: Sequence[Answered], results: Sequence[Scored]) -> bytes:
    """JSON lines, one for each question and rule set: what was read out of the output, and what it was worth."""
    lines = []
    grouped = by_benchmark(rows)
    for result in results:
        for row, one in zip(grouped[result.benchmark], result.verdicts, strict=True):
            told: dict[str, Any] = {"benchmark": row.benchmark, "question_id": row.question_id, "rules": result.rules}
            told |= {"value": one.value, "found": one.found, "note": one.note}
            lines.append(json.dumps({**told, "output": row.output, "answers": list(row.answers)}, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines).encode()
