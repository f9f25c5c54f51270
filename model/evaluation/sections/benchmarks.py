"""Benchmarks in the report: local and public ones by each rule set, averages, and what was not run."""

from typing import Any

from data.reporting.html import Badge, Block, Cell, Table, Text
from model.evaluation.benchmarks.cards import average_cards, benchmark_cards
from model.evaluation.rules import RULE_SETS
from model.evaluation.scored import HEADLINE, gap

LOCAL = (
    "Held-out data in the shapes of public benchmarks, after stage 2, scored as three tools would: the papers' rules "
    "(eagle2), VLMEvalKit's and lmms-eval's. Points of 100, OCRBench's of 1000. They compare runs of one recipe; they "
    "are not the public benchmarks' figures."
)
PUBLIC = (
    "Public benchmarks after stage 2, from the files in evaluation.benchmark_data, with the cards' wording and greedy "
    "decoding; none was asked with its images blanked. Points of 100, OCRBench's of 1000. An average counts benchmarks "
    "that were asked whole. What is unjudged needs a judge: evaluation.judge in the recipe, or afterwards aerie score "
    "RUN/evaluation/stage_2 --judge FILE."
)


def benchmark_blocks(scores: dict[str, Any]) -> tuple[Block, ...]:
    """What a scores file says of benchmarks; nothing where the recipe asked none."""
    rows = scores.get("benchmarks", [])
    local = [row for row in rows if "of" not in row]
    blocks: list[Block] = [Text(LOCAL), _table("Local benchmark", local, [])] if local else []
    if "not_run" in scores:
        public = [row for row in rows if "of" in row]
        blocks += [Text(PUBLIC), _table("Public benchmark", public, list(scores["not_run"])), *_averages(scores)]
        blocks += [_not_run(scores["not_run"])] if scores["not_run"] else []
    return (*blocks, *judge_blocks(scores))


def judge_blocks(scores: dict[str, Any]) -> tuple[Block, ...]:
    """Whose word some scores are, and how many answers it was about; nothing where no judge was asked."""
    told = scores.get("judging", {"judge": None})
    if (judge := told["judge"]) is None:
        return ()
    cards = benchmark_cards()
    rows = [
        (
            name,
            *(f"{entry[key]:,}" for key in ("asked", "judged")),
            "; ".join(f"{count:,}: {why}" for why, count in entry["not_judged"].items()) or "–",
            (cards[name].judge_model if name in cards else None) or "–",
        )
        for name, entry in told["benchmarks"].items()
    ]
    headers = ("Judged", "Answers", "With a verdict", "Without one", "Judge of published figures")
    return Text(_judge_text(judge)), Table(headers=headers, rows=tuple(rows))


def _judge_text(judge: dict[str, Any]) -> str:
    spent = f"{judge['prompt_tokens'] + judge['completion_tokens']:,} tokens"
    cost = f", {judge['cost']:.2f} by the recipe's prices" if judge["cost"] else ""
    ended = f" Nothing more was asked after: {judge['failure'] or judge['stopped']}." if judge["stopped"] else ""
    return (
        f"{judge['model']} at {judge['host']} graded answers to MM-Vet and read final answers out of responses to "
        f"questions of MathVista's kind ({spent}{cost}).{ended} Scores of another judge can't be compared."
    )


def state(row: dict[str, Any]) -> str:
    """How an asked benchmark's figure is to be taken: "" as it is, else `unjudged` or `in part`."""
    if not row.get("judged", True):
        return "unjudged"
    return "in part" if row["questions"] < row.get("of", 0) else ""


def _table(title: str, rows: list[dict[str, Any]], not_run: list[str]) -> Table:
    """Public ones stand in the order of the paper's table, whether they were run or not."""
    lines = {row["benchmark"]: _line(row) for row in rows}
    lines |= {name: (name, "–", Badge("not run", "warn"), *["–"] * (len(RULE_SETS) + 1)) for name in not_run}
    order = [*(name for name in benchmark_cards() if name in lines), *lines]
    return Table(
        headers=(title, "Rule", "Asked", *RULE_SETS, "Gap"),
        rows=tuple(lines[name] for name in dict.fromkeys(order)),
    )


def _line(row: dict[str, Any]) -> tuple[Cell, ...]:
    scores = [row["rules"][name].get(HEADLINE) for name in RULE_SETS]
    whole = row.get("of", row["questions"]) == row["questions"]
    asked = f"{row['questions']:,}" + ("" if whole else f" of {row['of']:,}")
    cells: list[Cell] = [points(score) for score in scores]
    if state(row) == "unjudged":
        cells, scores = [Badge("unjudged", "warn")] * len(scores), []
    return row["benchmark"], row["rule"], asked, *cells, points(gap(scores))


def _averages(scores: dict[str, Any]) -> list[Block]:
    """An average without a figure says how many of its benchmarks it lacks."""
    cards = average_cards()
    rows = tuple(
        (
            cards[name].title,
            f"{len(cards[name].of) - len(entry['missing'])} of {len(cards[name].of)}",
            *(points(entry["rules"][rules]) for rules in RULE_SETS),
            ", ".join(entry["missing"]) or "–",
        )
        for name, entry in scores["averages"].items()
    )
    return [Table(headers=("Average", "Benchmarks", *RULE_SETS, "Lacks"), rows=rows)] if rows else []


def _not_run(reasons: dict[str, str]) -> Table:
    return Table(headers=("Not run", "Why"), rows=tuple(reasons.items()))


def points(value: float | None) -> str:
    """Points with one decimal; a dash where there are none."""
    return "–" if value is None else f"{value:.1f}"
