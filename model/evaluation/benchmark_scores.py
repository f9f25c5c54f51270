"""What a scores file tells of benchmarks; made anew when a judge has read some of the answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.evaluation.benchmarks.averages import averages
from model.evaluation.predictions import Prediction
from model.evaluation.rules import RULE_SETS
from model.evaluation.scored import final_score, rule_table


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredBenchmark:
    """The answers to one public benchmark, and how many questions its files hold."""

    predictions: tuple[Prediction, ...]
    of: int


def benchmark_document(
    local: Sequence[Prediction], public: Sequence[AnsweredBenchmark], not_run: Mapping[str, str] | None
) -> dict[str, Any]:
    """Local benchmarks' entries of `rule_table` as `benchmarks`, blind answers left out; and of public ones, if asked.

    Their entries have `of` (questions in the files) and `judged` (False: only a judge could score it) besides;
    `benchmark_headline` has the judged ones' scores by the papers' rules; `averages` those of `averages`, over
    benchmarks that were asked whole; `not_run` says why a benchmark wasn't asked: None where the recipe asks none.
    """
    entries = rule_table([prediction.answered() for prediction in local if not prediction.blind])
    if not_run is None:
        return {"benchmarks": entries}
    rows = [prediction.answered() for one in public for prediction in one.predictions]
    table = [
        {**entry, "of": one.of, "judged": not entry["rules"][RULE_SETS[0]]["unjudged"]}
        for entry, one in zip(rule_table(rows), public, strict=True)
    ]
    whole = [entry for entry in table if entry["questions"] == entry["of"]]
    return {
        "benchmarks": entries + table,
        "benchmark_headline": {
            name: score for name, score in _finals(table, RULE_SETS[0]).items() if score is not None
        },
        "averages": averages({rules: _finals(whole, rules) for rules in RULE_SETS}),
        "not_run": dict(not_run),
    }


def rescored(document: dict[str, Any], answers: Sequence[Prediction]) -> dict[str, Any]:
    """A scores file with the benchmarks' part made anew from all their answers, which a judge has read meanwhile."""
    of = {entry["benchmark"]: entry["of"] for entry in document["benchmarks"] if "of" in entry}
    public = [
        AnsweredBenchmark(predictions=tuple(row for row in answers if row.source == name), of=count)
        for name, count in of.items()
    ]
    local = [row for row in answers if row.source not in of]
    return document | benchmark_document(local, public, document.get("not_run"))


def _finals(table: Sequence[dict[str, Any]], rules: str) -> dict[str, float | None]:
    return {entry["benchmark"]: final_score(entry["rules"][rules]) for entry in table}
