"""How source cards and their checks look on a terminal."""

import textwrap
from collections import Counter
from itertools import groupby

from rich.console import Console
from rich.markup import escape

from data.registry.cards import UNKNOWN, SourceCard
from data.registry.catalogue import missing, stage_names, totals
from data.registry.checking import SourceCheck

COLOURS = {"verified": "green", "unverified": "yellow", "internal": "dim"}
LABEL = 14
MIN_LICENCE = 10
OUTCOMES = {"ok": "green", "failed": "red", "unknown": "yellow"}


def show_cards(cards: list[SourceCard], console: Console) -> None:
    """A line for each card under its category, then the sums. Names are never cut, so that they can be typed."""
    width = max((len(card.name) for card in cards), default=0)
    if cards:
        console.print(f"  {'source':<{width}}  stages   samples  status      licence", style="dim")
    for category, group in groupby(cards, key=lambda card: card.category):
        members = list(group)
        console.print(f"[bold]{category}[/] [dim]{len(members)}[/]", highlight=False)
        for card in members:
            size = f"{card.size:,}" if card.size else "?"
            state = f"[{COLOURS[card.status]}]{card.status:<10}[/]"
            start = f"  {card.name:<{width}}  {stage_names(card):<6} {size:>9}  "
            room = max(console.width - len(start) - 12, MIN_LICENCE)
            licence = card.licence if len(card.licence) <= room else f"{card.licence[: room - 1]}…"
            console.print(f"{start}{state}  {escape(licence)}", highlight=False)
    console.print(_summary(cards) if cards else "No source fits.", highlight=False)


def _summary(cards: list[SourceCard]) -> str:
    found = totals(cards)
    states = ", ".join(f"{count} {status}" for status, count in found.statuses.items() if count)
    gaps = f"{found.without_place} without a place, {found.without_licence} without a known licence"
    sizes = f"{found.samples:,} samples in the {found.cards - found.without_size} whose size is known"
    noun = "source" if found.cards == 1 else "sources"
    return f"[bold]{found.cards} {noun}[/]: {states}\n{gaps}; {sizes}"


def show_card(card: SourceCard, console: Console) -> None:
    """The keys of a card one below the other, then what it lacks."""
    console.print(f"[bold]{card.name}[/]  [{COLOURS[card.status]}]{card.status}[/]", highlight=False)
    console.print(escape(card.description), highlight=False)
    rows = {
        "in the paper": card.paper_name or "not named there",
        "title": card.title,
        "category": card.category,
        "stages": stage_names(card, quotas=True) if card.stages else "the recipe decides",
        "samples": f"{card.size:,}" if card.size else "unknown",
        "answers": "written by a machine" if card.auto_labelled else "",
        "place": card.uri or "unknown",
        "revision": card.revision,
        "version": "" if card.version == UNKNOWN and card.revision else card.version,
        "licence": card.licence,
        "adapter": card.adapter,
        "options": ", ".join(card.options),
        "held out by": card.split_key,
        "homepage": card.homepage,
        "paper": card.paper,
        "note": card.note,
    }
    for label, value in rows.items():
        lines = textwrap.wrap(value or "", max(console.width - LABEL, 40), break_long_words=False)
        for number, line in enumerate(lines):
            console.print(f"[dim]{'' if number else label:<{LABEL}}[/]{escape(line)}", highlight=False)
    if steps := missing(card):
        console.print("To become verified it lacks:", style="bold")
        for step in steps:
            console.print(f"- {step}", highlight=False, markup=False)


def show_check(check: SourceCheck, console: Console) -> None:
    """A line for the source and one for each finding."""
    console.print(f"[bold]{check.name}[/]  [{OUTCOMES[check.outcome]}]{check.outcome}[/]", highlight=False)
    for finding in check.findings:
        mark = f"[{OUTCOMES[finding.outcome]}]{finding.outcome:<7}[/]"
        console.print(f"  {finding.what:<8}  {mark}  {escape(finding.detail)}", highlight=False)


def show_verdict(checks: list[SourceCheck], console: Console) -> None:
    """How many sources are ok, failed, unknown."""
    counts = Counter(check.outcome for check in checks)
    words = ", ".join(f"[{colour}]{counts[outcome]} {outcome}[/]" for outcome, colour in OUTCOMES.items())
    noun = "source" if len(checks) == 1 else "sources"
    console.print(f"{len(checks)} {noun} checked: {words}", highlight=False)
    if offline := sum(check.offline for check in checks):
        console.print(f"[yellow]{offline} of them not at all: offline[/]", highlight=False)
