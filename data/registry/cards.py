"""Source cards: what a source is, where it comes from, under which licence, and which adapter reads it.

How to add a source: write one card, no code, when its format is known.

1. Put `NAME.yaml` into a folder of your own, or into `CATEGORY/` below it, and name that folder in the recipe
   (`data.cards: my-cards`). A card for everybody goes to `data/registry/cards/CATEGORY/`.
2. Give the keys that every card needs:

       name: street-signs                    # lower case, digits and hyphens; recipes and the ledger use it
       category: ocr_qa                      # one of the paper's nine
       uri: file://street-signs/train.jsonl  # counts from the card; or pypi://, hf://datasets/, https://, s3://
       licence: CC-BY-4.0                    # SPDX identifier where one exists; `unknown` when you don't know
       adapter: jsonl                        # the raw format: a module in data/registry/adapters/
       split_key: image                      # what a held-out item is split by, so that no item leaks
       description: Street signs with one question each.

   and those of the others that you know: `stages` with the quota of each, `size`, `version`, `revision`,
   `auto_labelled`, `homepage`, `paper`. What you don't know stays out; never guess a licence or a size.
3. Look at it with `aerie sources show street-signs --cards my-cards` and read its first rows with
   `aerie sources check street-signs --cards my-cards`.
4. List it under `data.sources` of the recipe.

`status` says how far a card may be trusted. `verified`: place, version, licence and first rows were checked by whoever
wrote the card. `unverified`: written down from public knowledge, a lead. `internal`: only the paper's authors have the
data. A card of your own may take the name of a built-in card that isn't verified and then replaces it: so you say where
your copy of such a source lies, or what you found out about it.
"""

import difflib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from data.errors import AerieError
from data.recipe import DataRecipe
from data.schema import CATEGORIES
from data.settings.base import Strict, validated

BUILTIN_CARDS = Path(__file__).parent / "cards"
URI_SCHEMES = ("pypi://", "file://", "hf://datasets/", "https://", "s3://")
UNKNOWN = "unknown"
Stage = Literal["stage_1", "stage_1_5", "stage_2"]
Status = Literal["verified", "unverified", "internal"]
# 220 cards take a second with PyYAML's own parser and a tenth of it with libyaml's.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class SourceCard(Strict):
    """One source; an unknown key is an error. The module's docstring says how to write one."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="the name that recipes and the ledger use")
    paper_name: str | None = Field(default=None, min_length=1, description="the name as Table 2 of the paper spells it")
    title: str | None = Field(default=None, min_length=1, description="the name as its authors spell it")
    uri: str = Field(default="", description="where the data lie, by one of URI_SCHEMES; empty when no place is known")
    version: str = Field(default=UNKNOWN, min_length=1, description="version of the data")
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{7,40}$", description="commit of a Git-like place")
    licence: str = Field(min_length=2, description="SPDX identifier where one exists, and of what; or `unknown`")
    category: str = Field(description="one of the paper's nine categories")
    stages: dict[Stage, int | None] = Field(
        default_factory=dict, description="stages that draw from it, with the quota in samples where one is known"
    )
    size: int | None = Field(default=None, ge=1, description="samples in the whole source")
    adapter: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="module in data/registry/adapters/")
    split_key: str = Field(min_length=1, description="what a held-out item is split by, so that no item leaks")
    status: Status = Field(default="unverified", description="how far the card may be trusted")
    auto_labelled: bool = Field(default=False, description="a machine wrote the answers (selection: smaller ratios)")
    description: str = Field(min_length=10)
    note: str | None = Field(default=None, min_length=1, description="what is uncertain or missing, for people")
    homepage: str | None = Field(default=None, pattern=r"^https?://")
    paper: str | None = Field(default=None, pattern=r"^https?://")
    options: dict[str, Any] = Field(default_factory=dict, description="the adapter's own settings")

    @field_validator("category")
    @classmethod
    def _known_category(cls, value: str) -> str:
        if value not in CATEGORIES:
            raise ValueError(f"unknown category {value!r}; choose from {list(CATEGORIES)}")
        return value

    @field_validator("uri", mode="before")
    @classmethod
    def _null_is_no_place(cls, value: object) -> object:
        return "" if value is None else value

    @field_validator("uri")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if value and not value.startswith(URI_SCHEMES):
            raise ValueError(f"uri must start with one of {list(URI_SCHEMES)}")
        place = value.removeprefix("hf://datasets/")
        if place != value and (place.count("/") < 1 or "@" in place or not all(place.split("/")[:2])):
            raise ValueError("uri must read hf://datasets/OWNER/NAME[/path]; a commit goes into `revision`")
        return value

    @field_validator("version", mode="before")
    @classmethod
    def _version_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) else value  # YAML reads `1.0` as a number

    @field_validator("stages")
    @classmethod
    def _positive_quotas(cls, value: dict[Stage, int | None]) -> dict[Stage, int | None]:
        if any(quota is not None and quota < 1 for quota in value.values()):
            raise ValueError("a quota must be at least 1 sample, or null when it isn't known")
        return value

    @model_validator(mode="after")
    def _verified_means_known(self) -> "SourceCard":
        if self.status == "verified" and (gaps := self.gaps()):
            raise ValueError(f"status `verified` needs {' and '.join(gaps)}; give them or write `status: unverified`")
        return self

    def gaps(self) -> list[str]:
        """The keys without which a card can't be verified."""
        known = {
            "uri": bool(self.uri),
            "version or revision": self.version != UNKNOWN or self.revision is not None,
            "licence": self.licence_known,
        }
        return [key for key, is_known in known.items() if not is_known]

    @property
    def licence_known(self) -> bool:
        """False when the card says that nobody knows."""
        return not self.licence.lower().startswith(UNKNOWN)

    @property
    def readable(self) -> bool:
        """True when the card names a place; whether the data are there is for `aerie sources check`."""
        return bool(self.uri)

    def reading(self) -> dict[str, Any]:
        """The keys that decide which samples an adapter yields; the others only describe the source."""
        keys = {"name", "uri", "version", "revision", "category", "adapter", "split_key", "options"}
        return self.model_dump(include=keys)


def read_card(path: Path) -> SourceCard:
    """One card from a YAML file; `AerieError` names the file and each bad key."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AerieError(f"card {path} can't be read: {error}") from error
    if not isinstance(document, dict):
        raise AerieError(f"card {path} must be a mapping with the keys {list(SourceCard.model_fields)}")
    card = validated(SourceCard, document, f"card {path}")
    if card.uri.startswith("file://") and not card.uri.startswith("file:///"):
        # A relative file URI counts from the card, so that a folder of cards and data can move as one.
        target = (path.parent / card.uri.removeprefix("file://")).resolve()
        card = card.model_copy(update={"uri": f"file://{target}"})
    return card


def load_cards(folder: str | None = None) -> dict[str, SourceCard]:
    """All cards by name: the built-in ones and those of an extra folder.

    Cards lie in a folder itself or in its subfolders named after a category. A card of the extra folder replaces a
    built-in one of the same name unless that is verified; any other name used twice is an error.
    """
    cards = dict(_builtin_cards())
    if folder is None:
        return cards
    if not Path(folder).is_dir():
        raise AerieError(f"folder of cards not found: {folder}; correct `data.cards` in the recipe")
    for name, card in _folder_cards(Path(folder)).items():
        if name in cards and cards[name].status == "verified":
            raise AerieError(f"cards in {folder}: the name {name!r} is already taken by a verified card; rename yours")
        cards[name] = card
    return cards


@cache  # a step with 180 sources asks 180 times
def _builtin_cards() -> dict[str, SourceCard]:
    return _folder_cards(BUILTIN_CARDS)


def _folder_cards(folder: Path) -> dict[str, SourceCard]:
    cards: dict[str, SourceCard] = {}
    paths: dict[str, Path] = {}
    patterns = ("*.yaml", *(f"{category}/*.yaml" for category in CATEGORIES))
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        card = read_card(path)
        if card.name in cards:
            raise AerieError(f"card {path}: the name {card.name!r} is already taken by {paths[card.name]}; rename it")
        cards[card.name], paths[card.name] = card, path
    return cards


def named_card(cards: dict[str, SourceCard], name: str) -> SourceCard:
    """A card by its name; `AerieError` lists the names that come closest when there is none."""
    if name in cards:
        return cards[name]
    near = difflib.get_close_matches(name, cards, n=5, cutoff=0.5) or sorted(cards)[:5]
    raise AerieError(
        f"no card for source {name!r}; the nearest of {len(cards)} names are {near} (see `aerie sources list`). "
        "Add a card as a YAML file"
    )


def recipe_card(recipe: DataRecipe, source: str) -> SourceCard:
    """The card of a source of a recipe; `AerieError` when there is none or when it names no place to read from."""
    card = named_card(load_cards(recipe.data.cards), source)
    if card.readable:
        return card
    reason = "only the paper's authors have it" if card.status == "internal" else "its place isn't known"
    raise AerieError(
        f"source {source!r} can't be read: its card is {card.status} and has no `uri` ({reason}). Put a card of your "
        f"own with `name: {source}` and `uri` into the folder of `data.cards`, or take the source out of the recipe"
    )
