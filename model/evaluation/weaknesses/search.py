"""The search list: which sources of the registry would address the weaknesses (Eagle 2, proactive searching)."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from data.registry.cards import SourceCard
from model.evaluation.weaknesses.kinds import ImageType, image_type, skill_word
from model.evaluation.weaknesses.ranking import Key, Weakness

MATCHES = 3  # category, skill, kind of image
ENOUGH = 2  # of them; one alone would name most of the registry
_TRUST = {"verified": 0, "unverified": 1, "internal": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A weakness that a source addresses, and why: one to three reasons, `share` of all that could fit."""

    category: str
    task: str
    image_type: ImageType
    share: float
    reasons: tuple[str, ...]

    @property
    def key(self) -> Key:
        """The weakness's key."""
        return self.category, self.task, self.image_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A source to look at.

    `action`: `add` a source that the recipe lacks, or `raise` the cap of one that it has. `value` sums the expected
    gains of the weaknesses that it addresses, each times the share that fits: an order, not a promise. `fits` begins
    with the weakness where it matters most. `notes` say what is known about getting the source. `quota` is the largest
    that the card plans.
    """

    source: str
    action: Literal["add", "raise"]
    category: str
    status: str
    licence: str
    licence_known: bool
    readable: bool
    auto_labelled: bool
    quota: int | None
    size: int | None
    value: float
    fits: tuple[Fit, ...]
    notes: tuple[str, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why this source, each reason once."""
        return tuple(dict.fromkeys(reason for fit in self.fits for reason in fit.reasons))

    def share_of(self, weakness: Weakness) -> float:
        """How well it fits one weakness; 0 when it doesn't address it."""
        return max(
            (fit.share for fit in self.fits if (fit.category, fit.task, fit.image_type) == weakness.key), default=0
        )

    def document(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def search_list(
    weaknesses: Sequence[Weakness],
    cards: Mapping[str, SourceCard] | Iterable[SourceCard],
    used: set[str],
    caps: Mapping[str, int] | None = None,
) -> list[Lead]:
    """The sources that fit some weakness in at least two of category, skill and kind of image, the best first.

    Sources to add come before caps to raise. A source that the recipe uses comes only where `caps` (source to samples)
    holds back more than half of it. What counts is the gain that a source addresses beyond those before it in the list:
    the n-th source for a weakness counts a n-th of its gain there, so that the list spreads over them. Of equals:
    verified before unverified before internal, known licence, known place, answers by people, quota or size.
    """
    gains = {weakness.key: weakness.expected_gain for weakness in weaknesses}
    found = []
    for card in cards.values() if isinstance(cards, Mapping) else cards:
        cap = (caps or {}).get(card.name)
        held_back = cap is not None and card.size is not None and 2 * cap < card.size
        if card.name in used and not held_back:
            continue
        fits = [(weakness, fit) for weakness in weaknesses if len(fit := _reasons(weakness, card)) >= ENOUGH]
        if fits:
            found.append(_lead(card, fits, cap if card.name in used else None))
    return [
        lead for action in ("add", "raise") for lead in _covering([one for one in found if one.action == action], gains)
    ]


def _covering(leads: Iterable[Lead], gains: Mapping[Key, float]) -> Iterator[Lead]:
    """The leads, each time the one that adds most to what those before it address."""
    left, times = sorted(leads, key=_standing), Counter[Key]()
    while left:
        best = max(left, key=lambda lead: round(sum(f.share * gains[f.key] / (1 + times[f.key]) for f in lead.fits), 9))
        times.update(fit.key for fit in best.fits)
        left.remove(best)
        yield best


def leads_for(weakness: Weakness, leads: Iterable[Lead], most: int) -> list[Lead]:
    """The leads that fit one weakness best; of equals those that are easiest to get."""
    fitting = [lead for lead in leads if lead.share_of(weakness)]
    return sorted(fitting, key=lambda lead: (-lead.share_of(weakness), _standing(lead)))[:most]


def _reasons(weakness: Weakness, card: SourceCard) -> tuple[str, ...]:
    """What of a card fits a weakness."""
    found = []
    if card.category == weakness.category:
        found.append(f"same category ({card.category})")
    if word := skill_word(card, weakness.skill):
        found.append(f"{weakness.skill}: its card says “{word}”")
    if image_type(card) == weakness.image_type:
        found.append("no images either" if weakness.image_type == "none" else f"same images ({weakness.image_type})")
    return tuple(found)


def _lead(card: SourceCard, fits: Sequence[tuple[Weakness, tuple[str, ...]]], cap: int | None) -> Lead:
    fits = sorted(fits, key=lambda pair: -pair[0].expected_gain * len(pair[1]))
    return Lead(
        source=card.name,
        action="add" if cap is None else "raise",
        category=card.category,
        status=card.status,
        licence=card.licence,
        licence_known=card.licence_known,
        readable=card.readable,
        auto_labelled=card.auto_labelled,
        quota=max((quota for quota in card.stages.values() if quota is not None), default=None),
        size=card.size,
        value=sum(weakness.expected_gain * len(reasons) / MATCHES for weakness, reasons in fits),
        fits=tuple(
            Fit(
                category=weakness.category,
                task=weakness.task,
                image_type=weakness.image_type,
                share=len(reasons) / MATCHES,
                reasons=reasons,
            )
            for weakness, reasons in fits
        ),
        notes=tuple(_notes(card, cap)),
    )


def _notes(card: SourceCard, cap: int | None) -> list[str]:
    """What is known about getting the source, as things to do."""
    if cap is not None:
        return [f"the recipe takes at most {cap:,} of its {card.size:,} samples"]
    notes = []
    if not card.readable:
        notes.append("only the paper's authors have it" if card.status == "internal" else "its place isn't known")
    if not card.licence_known:
        notes.append("find out its licence")
    if card.auto_labelled:
        notes.append("take a small share: a machine wrote the answers")
    return notes


def _standing(lead: Lead) -> tuple[Any, ...]:
    """How soon a source can be used: trusted, licensed, there, answered by people, large."""
    return (
        _TRUST[lead.status],
        not lead.licence_known,
        not lead.readable,
        lead.auto_labelled,
        -(lead.quota or lead.size or 0),
        lead.source,
    )
