"""How many samples each stage of a recipe will see, as far as that is known before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass

from data.curation.quotas import source_quotas
from data.errors import AerieError
from data.recipe import beside_recipe
from data.registry.cards import SourceCard, load_cards, named_card
from model.recipe import STAGES, Recipe
from pipelines.paper import PAPER


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleCounts:
    """Samples of each stage, None when unknown, and in words where the numbers come from."""

    stages: dict[str, int | None]
    origin: str


def sample_counts(recipe: Recipe, recipe_uri: str, given: str = "") -> SampleCounts:
    """The numbers somebody gives ("1200000,21600000,4600000"), those of the cards, or the paper's.

    The cards count where each source's size is known; the paper's numbers stand for its own recipes.
    `AerieError` for numbers that aren't three counts, and for a source without a card.
    """
    if given:
        return SampleCounts(stages=dict(zip(STAGES, _given(given), strict=True)), origin="given by --samples")
    cards = _cards(recipe, recipe_uri)
    sizes = {use.name: _size(cards[use.name], use.max_samples) for use in recipe.data.sources}
    known = {name: size for name, size in sizes.items() if size is not None}
    if len(known) == len(sizes):
        return SampleCounts(
            stages=dict(zip(STAGES, _drawn(recipe, cards, known), strict=True)),
            origin=f"sizes of the recipe's {len(known)} sources by their cards, nothing filtered or added",
        )
    gap = f"{len(sizes) - len(known)} of {len(sizes)} source cards know no size"
    if (recipe.model.preset or "").startswith("eagle2-"):
        return SampleCounts(stages={name: PAPER[name].samples for name in STAGES}, origin=f"the paper's, since {gap}")
    return SampleCounts(stages=dict.fromkeys(STAGES), origin=f"unknown: {gap}; give --samples")


def _given(text: str) -> list[int]:
    numbers = text.replace("_", "").split(",")
    if len(numbers) != len(STAGES) or not all(number.strip().isdigit() and int(number) for number in numbers):
        raise AerieError(f"--samples takes {len(STAGES)} positive counts, one a stage and commas between; got {text!r}")
    return [int(number) for number in numbers]


def _cards(recipe: Recipe, recipe_uri: str) -> dict[str, SourceCard]:
    known = load_cards(recipe.data.cards and beside_recipe(recipe.data.cards, recipe_uri))
    return {use.name: named_card(known, use.name) for use in recipe.data.sources}


def _size(card: SourceCard, most: int | None) -> int | None:
    sizes = [size for size in (card.size, most) if size is not None]
    return min(sizes, default=None)


def _drawn(recipe: Recipe, cards: Mapping[str, SourceCard], sizes: Mapping[str, int]) -> tuple[int, int, int]:
    """Samples by stage: a share of the pool, the pool, and what quotas of sources and categories leave of it."""
    selection, pool = recipe.data.selection, sum(sizes.values())
    machine = {name for name, card in cards.items() if card.auto_labelled}
    by_category: dict[str, int] = {}
    for name, quota in source_quotas(sizes, machine, selection).items():
        category = cards[name].category
        by_category[category] = by_category.get(category, 0) + quota.quota
    stage_2 = 0
    for category, rows in by_category.items():
        most = selection.categories.get(category, selection.default).quota
        stage_2 += rows if most is None else min(rows, most)
    return round(pool * selection.stage_1_share), pool, stage_2
