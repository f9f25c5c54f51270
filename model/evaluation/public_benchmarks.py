"""Which public benchmarks a recipe has asked after its last stage, and where their files are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data.errors import AerieError
from data.recipe import beside_recipe
from data.storage import fingerprint
from model.evaluation.benchmark_data import card_identity, chosen, lacking
from model.evaluation.benchmarks.cards import WORDING, BenchmarkCard
from model.evaluation.benchmarks.places import identity, located
from model.evaluation.promotion.settings import benchmark_of
from model.evaluation.public_questions import listing
from model.evaluation.rules import RULES_VERSION
from model.recipe import Recipe, load_recipe

VERSION = 1  # raise it when files are read or asked otherwise: finished evaluations then ask again
ADDRESSES = {"uri", "md5", "revision"}  # what of a layout changes no question


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicBenchmark:
    """A benchmark whose files are there: `place` is a path or address as `benchmarks.reading.questions` takes it."""

    card: BenchmarkCard
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicBenchmarks:
    """What is asked, in the order of the paper's table, and why the others are not."""

    there: tuple[PublicBenchmark, ...] = ()
    not_run: Mapping[str, str] = field(default_factory=dict)


def public_benchmarks(recipe: Recipe, recipe_uri: str) -> PublicBenchmarks:
    """The recipe's public benchmarks, none without `evaluation.benchmark_data`; no file is opened.

    `AerieError`: the folder isn't there, or a benchmark without files has a score that promotion requires.
    """
    settings = recipe.evaluation
    if settings.benchmark_data is None:
        return PublicBenchmarks()
    root = beside_recipe(settings.benchmark_data, recipe_uri)
    places = [(card, located(card, root)) for card in _ordered(settings.benchmarks or ())]
    found = PublicBenchmarks(
        there=tuple(PublicBenchmark(card=card, place=place) for card, place in places if place is not None),
        not_run={card.name: f"no data: {lacking(card)}" for card, place in places if place is None},
    )
    _check_required(recipe, found, root)
    return found


def public_identity(recipe: Recipe, found: PublicBenchmarks) -> dict[str, Any]:
    """What an evaluation's fingerprint must hold of public benchmarks: cards, files' contents and settings."""
    settings = recipe.evaluation
    if settings.benchmark_data is None:
        return {}
    asked = {one.card.name: {"card": _asked(one.card), "files": identity(one.card, one.place)} for one in found.there}
    limits = {"most": settings.max_questions_per_public_benchmark, "max_new_tokens": settings.public_max_new_tokens}
    known = {"version": VERSION, "rules": RULES_VERSION, "asked": asked, "not_run": dict(found.not_run), **limits}
    return {"public_benchmarks": known}


def check_public_benchmarks(recipe_uri: str, recipe_sha256: str = "") -> tuple[dict[str, int], dict[str, str]]:
    """Read every row of the recipe's public benchmarks once: questions by benchmark, and why others won't be run.

    It costs minutes of one core and no memory to speak of, and tells what would end an evaluation after all training.
    `AerieError` names the file, the row and the column, or what `public_benchmarks` says.
    """
    recipe = load_recipe(recipe_uri, recipe_sha256)
    found = public_benchmarks(recipe, recipe_uri)
    return {one.card.name: listing(one.card, one.place).of for one in found.there}, dict(found.not_run)


def _ordered(names: tuple[str, ...]) -> list[BenchmarkCard]:
    order = [card.name for card in chosen(())]
    return sorted(chosen(names), key=lambda card: order.index(card.name))


def _asked(card: BenchmarkCard) -> str:
    """Hash of what a card makes of its files."""
    layouts = [layout.model_dump(mode="json", exclude=ADDRESSES) for layout in card.layouts()]
    return fingerprint(card=card_identity(card, WORDING), layouts=layouts)


def _check_required(recipe: Recipe, found: PublicBenchmarks, root: str) -> None:
    limits = recipe.promotion.benchmarks if recipe.promotion else {}
    for line, limit in limits.items():
        if limit.require is not None and (name := benchmark_of(line)) in found.not_run:
            raise AerieError(
                f"promotion.benchmarks.{line} requires a score, but {root} has {found.not_run[name]}; or take the "
                "limit out of the recipe"
            )
