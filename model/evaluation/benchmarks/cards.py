"""Benchmark cards: which data, which split, which wording, which rule; one YAML file each in `cards/`.

`status` says how far a card may be trusted, as with source cards: `unverified` was written down from public knowledge
(addresses, MD5s and wordings as VLMEvalKit publishes them), while nobody has fetched the file itself for this card;
`verified` means that the file was fetched, hashed and counted.
"""

import difflib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from data.errors import AerieError
from data.registry.cards import URI_SCHEMES
from data.schema import CATEGORIES
from data.settings.base import Strict, validated
from model.evaluation.benchmarks.wording import Wording

FOLDER = Path(__file__).parent / "cards"
Rule = Literal[
    "exact",
    "relaxed",
    "anls",
    "token_f1",
    "vqa",
    "ocrbench",
    "choice",
    "mmmu",
    "circular",
    "hallusion",
    "mathvista",
    "iou",
    "count",
    "mmvet",
]
Status = Literal["verified", "unverified"]
Judge = Literal["none", "optional", "required"]
WORDING = "direct"  # the default of `wordings`


class Layout(Strict):
    """One public form of a benchmark: where it lies and which columns hold what."""

    uri: str = Field(description="where it is published; a file, or a folder on the Hub")
    files: str = Field(min_length=1, description="name or pattern of the files in a local folder")
    md5: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$", description="of the single file, as published")
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{7,40}$", description="commit of a Git-like place")
    index: str | None = Field(default="index", description="column that names a row once; null: its place in the file")
    question: str = "question"
    images: tuple[str, ...] = Field(default=("image",), min_length=1, description="columns of one or several images")
    answer: str = "answer"
    answers: Literal["text", "list", "either"] = Field(
        default="text", description="one answer, a list of them, or a list only where the cell reads as one"
    )
    answer_is: Literal["text", "letter", "index"] = Field(
        default="text", description="how the cell names an option: by text, letter, or number from 0"
    )
    answer_words: dict[str, str] = Field(default_factory=dict, description="what a coded answer means: 1 -> Yes")
    options: str | None = Field(default=None, description="`letters`: columns A, B, ...; else a column with a list")
    hint: str | None = Field(
        default=None, description="column of a text that stands before the question, if it has one"
    )
    only: dict[str, str] = Field(default_factory=dict, description="column: value that a row must have to be asked")
    without_image: Literal["refuse", "skip"] = "refuse"
    index_parts: dict[str, int] = Field(
        default_factory=dict, description="fact: which part of the index, counted from 0 between underscores"
    )
    facts: dict[str, str] = Field(default_factory=dict, description="fact: its column, which must be there")
    extra_facts: dict[str, str] = Field(default_factory=dict, description="the same, null where there is no column")

    @field_validator("uri")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if not value.startswith(URI_SCHEMES):
            raise ValueError(f"uri must start with one of {list(URI_SCHEMES)}")
        return value

    def columns(self) -> list[str]:
        """The columns that every file must have (lettered options and hints may be missing)."""
        listed = [self.options] if self.options not in {None, "letters"} else []
        named = [self.question, self.images[0], self.answer, *listed, *self.only, *self.facts.values()]
        return list(dict.fromkeys(str(name) for name in [*([self.index] if self.index else []), *named]))


class BenchmarkCard(Strict):
    """One benchmark; an unknown key is an error."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="the name that results use")
    title: str = Field(min_length=1, description="the name as its authors spell it")
    description: str = Field(min_length=10)
    category: str = Field(description="one of the paper's nine categories of data")
    licence: str = Field(min_length=2, description="SPDX identifier where one exists, or `unknown`")
    split: str = Field(min_length=1, description="the split that is asked, whose answers are public")
    paper_split: str = Field(min_length=1, description="the split of the paper's table")
    questions: int | None = Field(default=None, ge=1, description="how many questions the split has, where it is known")
    rule: Rule
    rule_without_options: Rule | None = Field(default=None, description="of questions without options, if another")
    judge: Judge = Field(default="none", description="whether another model must, or may, read the answers")
    judge_model: str | None = Field(default=None, min_length=1, description="the judge of the published figures")
    maximum: Literal[100, 1000] = Field(default=100, description="the headline score goes from 0 to this")
    wordings: dict[Literal["direct", "vlmevalkit"], Wording] = Field(
        description="`direct`: short answers, as VLMEvalKit's classes for models of this kind ask for them; "
        "`vlmevalkit`: what its data set asks of a model without wording of its own"
    )
    interleaved: bool = Field(default=False, description="`<image n>` in the text places the n-th image")
    tsv: Layout
    parquet: Layout | None = None
    status: Status = "unverified"
    homepage: str | None = Field(default=None, pattern=r"^https?://")
    paper: str | None = Field(default=None, pattern=r"^https?://")
    note: str | None = Field(default=None, min_length=1, description="what is uncertain or different, for people")

    @field_validator("category")
    @classmethod
    def _known_category(cls, value: str) -> str:
        if value not in CATEGORIES:
            raise ValueError(f"unknown category {value!r}; choose from {list(CATEGORIES)}")
        return value

    @model_validator(mode="after")
    def _whole(self) -> "BenchmarkCard":
        if WORDING not in self.wordings:
            raise ValueError(f"`wordings` needs {WORDING!r}, which is asked when nobody names another")
        if (self.judge == "none") != (self.judge_model is None):
            raise ValueError("`judge_model` goes with a judge, and only with one")
        if self.status == "verified" and (self.tsv.md5 is None or self.questions is None):
            raise ValueError("status `verified` needs `tsv.md5` and `questions`; or write `status: unverified`")
        return self

    def layouts(self) -> list[Layout]:
        """The public forms that can be read, the preferred one first."""
        return [self.tsv, *([self.parquet] if self.parquet is not None else [])]


class AverageCard(Strict):
    """A mean over benchmarks, each scaled to 0..100."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str = Field(min_length=1)
    description: str = Field(min_length=10)
    of: tuple[str, ...] = Field(min_length=1, description="names of benchmarks")
    status: Status = "unverified"
    note: str | None = Field(default=None, min_length=1)


@cache
def benchmark_cards() -> dict[str, BenchmarkCard]:
    """All benchmarks by name, in the order of the paper's table."""
    cards = [validated(BenchmarkCard, document, f"card {path}") for path, document in _documents(FOLDER)]
    return {card.name: card for card in cards}


@cache
def average_cards() -> dict[str, AverageCard]:
    """The averages by name; `AerieError` when one counts a benchmark that has no card."""
    cards = [validated(AverageCard, document, f"card {path}") for path, document in _documents(FOLDER / "averages")]
    for card in cards:
        if unknown := sorted(set(card.of) - set(benchmark_cards())):
            raise AerieError(f"average {card.name!r} counts {unknown}, which have no card")
    return {card.name: card for card in cards}


def benchmark_card(name: str) -> BenchmarkCard:
    """A benchmark by its name; `AerieError` lists the names that come closest when there is none."""
    cards = benchmark_cards()
    if name in cards:
        return cards[name]
    near = difflib.get_close_matches(name, cards, n=3, cutoff=0.5) or list(cards)
    raise AerieError(f"no benchmark {name!r}; the nearest names are {near} (see `aerie benchmarks list`)")


def _documents(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The YAML files of a folder in the order of their names (two digits in front give the paper's order)."""
    found = []
    for path in sorted(folder.glob("*.yaml")):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise AerieError(f"card {path} must be a mapping")
        found.append((path, document))
    return found
