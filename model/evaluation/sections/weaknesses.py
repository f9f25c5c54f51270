"""Weaknesses of the last checkpoint, and the sources of the registry that would address them."""

from typing import Any

from data.registry.cards import load_cards
from data.reporting.html import Badge, Block, Cell, Details, Section, Table, Text
from model.evaluation.predictions import Prediction
from model.evaluation.rules import verdict
from model.evaluation.run_folder import RunFolder
from model.evaluation.sections.scoreboard import percent
from model.evaluation.weaknesses.gains import category_weights
from model.evaluation.weaknesses.kinds import image_types
from model.evaluation.weaknesses.ranking import Key, Weakness, weaknesses
from model.evaluation.weaknesses.search import Lead, leads_for, search_list
from model.recipe import STAGES

SHOWN_WEAKNESSES, SHOWN_LEADS, LEADS_EACH = 12, 15, 3
RankedWeaknesses = tuple[list[Weakness], list[Lead]]


def run_weaknesses(run: RunFolder) -> RankedWeaknesses:
    """The ranked weaknesses after the last stage, and the search list for them."""
    cards = {**load_cards(), **run.cards}
    predictions = run.heldout_answers(STAGES[-1]) + run.benchmark_answers()
    ranked = weaknesses(predictions, image_types=image_types(cards), score_of=_by_the_papers_rules)
    caps = {use.name: use.max_samples for use in run.recipe.data.sources if use.max_samples is not None}
    return ranked, search_list(ranked, cards, set(run.sources), caps)


def _by_the_papers_rules(prediction: Prediction) -> float | None:
    return verdict(prediction.answered(), "eagle2").value


def weaknesses_document(ranked: list[Weakness], leads: list[Lead]) -> dict[str, Any]:
    """Both lists as plain values: `ranked` (the largest expected gain first), `sources` and `not_measured`."""
    return {
        "ranked": [weakness.document() for weakness in ranked],
        "sources": [lead.document() for lead in leads],
        "not_measured": not_measured(ranked),
    }


def not_measured(ranked: list[Weakness]) -> list[str]:
    """Categories that some benchmark of the average hangs on, but that no held-out question asked about."""
    return sorted(set(category_weights()) - {weakness.category for weakness in ranked})


def weaknesses_section(ranked: list[Weakness], leads: list[Lead]) -> Section:
    """Where there is most to gain, and what to look for: the page's last word."""
    place = {weakness.key: number for number, weakness in enumerate(ranked, 1)}
    add = [lead for lead in leads if lead.action == "add"]
    raised = [lead for lead in leads if lead.action == "raise"]
    shown, rest = ranked[:SHOWN_WEAKNESSES], ranked[SHOWN_WEAKNESSES:]
    blocks: list[Block] = [
        Text(
            "Held-out questions after the last stage, by category, task and kind of image. To gain: points of the "
            "average over the paper's thirteen benchmarks that are surely missing here: the share of the average that "
            "hangs on the category, times the cell's share of its questions, times what the upper end of the score's "
            "95 % interval lacks. Ahead: the best cell of the same skill or kind of image."
        ),
        _ranked_table(shown, add, place, "Weaknesses, the most to gain first"),
    ]
    if rest:
        blocks.append(Details(summary="Further weaknesses", blocks=(_ranked_table(rest, add, place, ""),)))
    if missing := not_measured(ranked):
        blocks.append(Text(f"Not measured, for want of held-out questions: {', '.join(missing)}."))
    blocks += _lead_tables(add, raised, place)
    return Section(title="Weaknesses and sources", blocks=tuple(blocks))


def _ranked_table(some: list[Weakness], add: list[Lead], place: dict[Key, int], caption: str) -> Table:
    return Table(
        caption=caption,
        headers=(
            "#",
            "Category",
            "Task (images)",
            "Asked",
            "Score",
            "95 %",
            "Baseline",
            "Ahead",
            "To gain",
            "Look at",
        ),
        rows=tuple(
            (
                str(place[one.key]),
                one.category,
                one.name,
                f"{one.questions:,}",
                percent(one.score),
                f"{100 * one.low:.0f}\u00a0to\u00a0{100 * one.high:.0f}",
                _baseline(one),
                f"{one.best}: {percent(one.best_score)}" if one.best else "–",
                f"{one.expected_gain:.2f}",
                ", ".join(lead.source for lead in leads_for(one, add, LEADS_EACH)) or "no card fits",
            )
            for one in some
        ),
        empty="No question was answered wrongly.",
    )


def _baseline(one: Weakness) -> Cell:
    """The strongest baseline, marked where the score doesn't surely beat it."""
    named = {"majority": one.majority, "blind": one.blind, "chance": one.chance}
    known = {name: value for name, value in named.items() if value is not None}
    if not known:
        return "–"
    name = max(known, key=lambda key: known[key])
    text = f"{name} {percent(known[name])}"
    return Badge(f"not above {text}", "bad") if one.guesses else text


def _lead_tables(add: list[Lead], raised: list[Lead], place: dict[Key, int]) -> list[Block]:
    blocks: list[Block] = [
        Text(
            "Sources of the registry whose cards fit a weakness in at least two of category, skill and kind of image. "
            "First comes what adds most to the gains that those before it address; of equals, verified cards, known "
            "licences, known places, answers by people, and size. A card that isn't verified is a lead: run "
            "`aerie sources check NAME` before it enters a recipe."
        ),
        _lead_table(add[:SHOWN_LEADS], place, f"Sources to add ({len(add[:SHOWN_LEADS])} of {len(add)})"),
    ]
    if raised:
        blocks.append(_lead_table(raised, place, "Sources of the recipe whose cap holds back more than half"))
    return blocks


def _lead_table(leads: list[Lead], place: dict[Key, int], caption: str) -> Table:
    tones = {"verified": "good", "unverified": "warn", "internal": "bad"}
    return Table(
        caption=caption,
        headers=("Source", "Status", "Licence", "Samples", "Addresses", "Why", "To do"),
        rows=tuple(
            (
                lead.source,
                Badge(lead.status, tones[lead.status]),  # type: ignore[arg-type]
                _short(lead.licence),
                f"{lead.size:,}" if lead.size else "–",
                ", ".join(f"#{number}" for number in sorted(_places(lead, place))),
                "; ".join(lead.fits[0].reasons),
                "; ".join(lead.notes) or "–",
            )
            for lead in leads
        ),
        empty="No card outside the recipe fits.",
    )


def _places(lead: Lead, place: dict[Key, int]) -> set[int]:
    return {place[fit.key] for fit in lead.fits}


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
