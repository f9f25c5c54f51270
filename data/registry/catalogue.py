"""The catalogue over all source cards: choose, count, and say what a card lacks."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from data.errors import AerieError
from data.registry.cards import UNKNOWN, SourceCard, Stage, Status
from data.schema import CATEGORIES

STAGES: tuple[str, ...] = get_args(Stage)
STATUSES: tuple[str, ...] = get_args(Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which cards are wanted; an empty word means all. A card without stages belongs to every stage."""

    category: str = ""
    stage: str = ""
    status: str = ""

    def __post_init__(self) -> None:
        for name, known in (("category", CATEGORIES), ("stage", STAGES), ("status", STATUSES)):
            value = getattr(self, name)
            if value and value not in known:
                raise AerieError(f"unknown {name} {value!r}; choose from {', '.join(known)}")

    def takes(self, card: SourceCard) -> bool:
        """True for a card that is wanted."""
        return (
            self.category in {"", card.category}
            and self.status in {"", card.status}
            and (not self.stage or not card.stages or self.stage in card.stages)
        )


def chosen(cards: Mapping[str, SourceCard], choice: Choice) -> list[SourceCard]:
    """The wanted cards, by category in the paper's order, then by name."""
    wanted = (card for card in cards.values() if choice.takes(card))
    return sorted(wanted, key=lambda card: (CATEGORIES.index(card.category), card.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How many cards there are of each status, with a place, with a known licence, and the sum of known sizes."""

    cards: int
    statuses: dict[str, int]
    without_place: int
    without_licence: int
    samples: int
    without_size: int


def totals(cards: Iterable[SourceCard]) -> Totals:
    """The sums over some cards."""
    cards = list(cards)
    counts = Counter(card.status for card in cards)
    return Totals(
        cards=len(cards),
        statuses={status: counts[status] for status in STATUSES},  # type: ignore[index]
        without_place=sum(not card.readable for card in cards),
        without_licence=sum(not card.licence_known for card in cards),
        samples=sum(card.size or 0 for card in cards),
        without_size=sum(card.size is None for card in cards),
    )


def missing(card: SourceCard) -> list[str]:
    """What somebody must find out or do before the card may say `verified`; empty for a verified card."""
    if card.status == "verified":
        return []
    gaps = {
        "uri": "`uri`: a place to read from",
        "version or revision": "`revision` (a commit) or `version`",
        "licence": "`licence`: read it at the source itself",
    }
    steps = [gaps[gap] for gap in card.gaps()]
    if card.status == "internal" and not card.readable:
        steps[0] += "; the paper's authors keep this one, so only a copy of your own can be read"
    if card.revision is None and card.uri.startswith("hf://") and card.version != UNKNOWN:
        steps.append("`revision`: the commit that was read, since a branch moves")
    return [*steps, f"clean first rows: `aerie sources check {card.name}` without failed and unknown"]


def document(card: SourceCard) -> dict[str, Any]:
    """A card as plain values, for JSON: unknown values are null."""
    return {**card.model_dump(), "uri": card.uri or None}


def stage_names(card: SourceCard, quotas: bool = False) -> str:
    """The stages in short, `1.5, 2`, with the known quotas when asked: `1 (1,200,000)`; a dash when none is named."""
    short = {"stage_1": "1", "stage_1_5": "1.5", "stage_2": "2"}
    parts = [
        f"{short[stage]} ({quota:,})" if quotas and quota is not None else short[stage]
        for stage, quota in card.stages.items()
    ]
    return ", ".join(parts) or "–"
