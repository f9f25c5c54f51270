"""Clusters of answer formats: what each task is asked for and gets, which sources deviate, which tasks collide."""

from typing import Any

from data.reporting.html import Badge, Block, Table, Text

SIMILAR = 0.8  # of a task's pairs in its dominant format: below it a badge warns
SHOWN_TASKS, SHOWN_SOURCES, SHOWN_COLLISIONS, SHOWN_SHAPES = 60, 40, 40, 4


def format_blocks(clusters: dict[str, Any]) -> tuple[Block, ...]:
    """The clusters of a formatting report; a report of an older run has none."""
    tasks: list[dict[str, Any]] = clusters.get("tasks", [])
    collisions: list[dict[str, Any]] = clusters.get("collisions", [])
    deviating = [(task, source) for task in tasks for source in task["deviating"]]
    deviating.sort(key=lambda found: (-found[1]["pairs"], found[0]["task"], found[1]["source"]))
    return (_verdict(tasks, deviating, collisions), _tasks(tasks), _deviations(deviating), _collisions(collisions))


def _verdict(tasks: list[Any], deviating: list[Any], collisions: list[Any]) -> Text:
    return Text(
        f"Read off the formatted pairs, not off what sources declare: {len(tasks)} tasks; {len(deviating)} times a "
        f"source's pairs mostly look different from their task's; {len(collisions)} pairs of tasks from different "
        "families look alike, so that a model can tell them apart by their content only."
    )


def _tasks(tasks: list[dict[str, Any]]) -> Table:
    shown = sorted(tasks, key=lambda task: (-task["pairs"], task["task"]))[:SHOWN_TASKS]
    return Table(
        caption="Dominant format of each task" + _cut(len(tasks), SHOWN_TASKS),
        headers=("Task", "Family", "Pairs", "Instruction", "Answers", "Same format", "Check"),
        rows=tuple(
            (
                task["task"],
                task["family"],
                f"{task['pairs']:,}",
                task["instruction"] or "none",
                _shapes(task["shapes"]),
                _percent(task["share"]),
                Badge("similar", "good") if task["share"] >= SIMILAR else Badge("mixed", "warn"),
            )
            for task in shown
        ),
        empty="No pair was formatted.",
    )


def _shapes(shapes: dict[str, int]) -> str:
    total = sum(shapes.values())
    named = [f"{shape} {_percent(pairs / total)}" for shape, pairs in list(shapes.items())[:SHOWN_SHAPES]]
    return ", ".join(named) + (", …" if len(shapes) > SHOWN_SHAPES else "")


def _deviations(deviating: list[tuple[dict[str, Any], dict[str, Any]]]) -> Table:
    return Table(
        caption="Sources that deviate from their task's format" + _cut(len(deviating), SHOWN_SOURCES),
        headers=("Source", "Task", "Pairs", "In the task's format", "Instead: instruction", "Instead: answers"),
        rows=tuple(
            (
                source["source"],
                task["task"],
                f"{source['pairs']:,}",
                _percent(source["share"]),
                source["instruction"] or "none",
                source["form"],
            )
            for task, source in deviating[:SHOWN_SOURCES]
        ),
        empty="None: each source follows the format of its tasks.",
    )


def _collisions(collisions: list[dict[str, Any]]) -> Table:
    return Table(
        caption="Different tasks that look alike" + _cut(len(collisions), SHOWN_COLLISIONS),
        headers=("Tasks", "Families", "Look alike", "Instruction", "Answers", "Check"),
        rows=tuple(
            (
                " and ".join(found["tasks"]),
                " and ".join(found["families"]),
                _percent(found["overlap"]),
                found["instruction"] or "none",
                found["shape"],
                Badge("collides", "warn"),
            )
            for found in collisions[:SHOWN_COLLISIONS]
        ),
        empty="None: tasks of different families have distinct formats.",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share in (0, 1) or 0.01 <= share < 0.995 else f"{100 * share:.1f} %"


def _cut(count: int, shown: int) -> str:
    return f" ({shown} of {count:,})" if count > shown else ""
