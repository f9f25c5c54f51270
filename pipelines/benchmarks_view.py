"""How benchmark cards look on a terminal."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

COLOURS = {"verified": "green", "unverified": "yellow", "there": "green", "missing": "red"}
LABEL = 14
WIDE = 110  # columns from which on the titles fit too
Card = Any  # of model.evaluation.benchmarks.cards, which is imported when a command runs


def show_benchmarks(
    cards: list[Card], averages: list[Card], places: Mapping[str, Path | None] | None, console: Console
) -> None:
    """A line for each benchmark, then one for each average. Names are never cut, so that they can be typed."""
    title = f"{'title':<23}" if console.width >= WIDE else ""
    data = "" if places is None else "data"
    head = f"  {'benchmark':<15} {title}rule       split       asked  judge     status      {data}"
    console.print(head.rstrip(), style="dim")
    for card in cards:
        asked = f"{card.questions:,}" if card.questions else "?"
        start = f"{_start(card, console)}{card.rule:<10} {card.split:<11} {asked:>5}  {card.judge:<9}"
        there = "" if places is None else _coloured("there" if places.get(card.name) is not None else "missing")
        console.print(f"{start} {_coloured(card.status)}  {there}".rstrip(), highlight=False)
    for card in averages:
        lacking = sum(places is not None and places.get(name) is None for name in card.of)
        there = "" if places is None else f", {len(card.of) - lacking} there"
        console.print(f"{_start(card, console)}mean of {len(card.of)}{there}", highlight=False)
    for line in _summary(cards, places):
        _wrapped(line, console)


def _start(card: Card, console: Console) -> str:
    return escape(f"  {card.name:<15} {f'{card.title:<23}' if console.width >= WIDE else ''}")


def _coloured(word: str) -> str:
    return f"[{COLOURS[word]}]{word}[/]"


def _summary(cards: list[Card], places: Mapping[str, Path | None] | None) -> list[str]:
    hidden = [card.name for card in cards if card.split != card.paper_split]
    lines = [f"{len(cards)} benchmarks. The paper's split of {', '.join(hidden)} has answers that only a server holds."]
    if places is not None:
        there = sum(path is not None for path in places.values())
        lines.append(f"{there} there, {len(cards) - there} missing: not run (`show NAME` tells where the file is).")
    return lines


def show_checked(asked: Mapping[str, int], not_run: Mapping[str, str], console: Console) -> None:
    """What a recipe's last stage will be asked, and what not."""
    if not asked and not not_run:
        _wrapped("The recipe asks no public benchmark: evaluation.benchmark_data names no folder.", console)
    for name, questions in asked.items():
        console.print(f"  {name:<15} {questions:>6,} questions", highlight=False)
    for name, why in not_run.items():
        console.print(f"  {name:<15} not run ({why})", highlight=False, markup=False, soft_wrap=True)


def _wrapped(text: str, console: Console) -> None:
    for line in textwrap.wrap(text, max(console.width, 40), break_long_words=False, break_on_hyphens=False):
        console.print(line, highlight=False, markup=False)


def show_benchmark(card: Card, data: str, console: Console) -> None:
    """The keys of a card one below the other; `data` says where its files are, "" when nobody asked."""
    _head(card, console)
    form = card.tsv
    asked = f"{card.questions:,}" if card.questions else "unknown"
    judges = {"none": "none", "optional": "may read out answers", "required": "grades every answer"}
    _lines(
        {
            "split": card.split if card.split == card.paper_split else f"{card.split} (the paper: {card.paper_split})",
            "questions": asked,
            "rule": card.rule + (f"; without options {card.rule_without_options}" if card.rule_without_options else ""),
            "score": f"0 to {card.maximum}",
            "judge": judges[card.judge] + (f"; published figures: {card.judge_model}" if card.judge_model else ""),
            "category": card.category,
            "licence": card.licence,
            "TSV": form.uri,
            "MD5": form.md5 or "unknown",
            "Parquet": card.parquet.uri if card.parquet else "not read",
            "revision": (card.parquet.revision or "unknown") if card.parquet else "",
            "columns": ", ".join(form.columns()) + (", A, B, ..." if form.options == "letters" else ""),
            "facts": ", ".join([*form.facts, *form.extra_facts, *form.index_parts]),
            "homepage": card.homepage or "",
            "paper": card.paper or "",
            "note": card.note or "",
            "data": data,
        },
        console,
    )
    for name, wording in card.wordings.items():
        console.print(f"Wording `{name}`:", style="bold")
        text = wording.choice if form.options == "letters" else wording.open
        console.print(textwrap.indent(text.rstrip("\n"), "  "), highlight=False, markup=False)


def show_average(card: Card, console: Console) -> None:
    """An average and what it counts."""
    _head(card, console)
    _lines({"mean of": ", ".join(card.of), "note": card.note or ""}, console)


def show_question(question: Any, console: Console) -> None:
    """A question as a model gets it, and its references."""
    console.print("First question:", style="bold")
    console.print(textwrap.indent(question.prompt.rstrip("\n"), "  "), highlight=False, markup=False)
    answers = " | ".join(dict.fromkeys(question.answers))
    sizes = ", ".join(f"{image.width}x{image.height}" for image in question.images)
    _lines({"answer": answers, "images": sizes, "id": question.question_id}, console)


def _head(card: Card, console: Console) -> None:
    state = f"[{COLOURS[card.status]}]{card.status}[/]"
    console.print(f"[bold]{card.name}[/]  {escape(card.title)}  {state}", highlight=False)
    _wrapped(card.description, console)


def _lines(rows: Mapping[str, str], console: Console) -> None:
    for label, value in rows.items():
        width = max(console.width - LABEL, 40)
        lines = textwrap.wrap(value, width, break_long_words=False, break_on_hyphens=False)
        for number, line in enumerate(lines):
            console.print(f"[dim]{'' if number else label:<{LABEL}}[/]{escape(line)}", highlight=False)
