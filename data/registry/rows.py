"""What an adapter yields, and the helpers that all adapters share."""

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from data.errors import AerieError
from data.registry.cards import SourceCard
from data.schema import IMAGE_PLACEHOLDER, ImageRef, Sample, Turn, make_sample
from data.settings.base import Strict, validated
from data.settings.sources import SourceUse

Split = Literal["train", "heldout"]
Options = TypeVar("Options", bound=Strict)
Key = TypeVar("Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A row that became a sample; `split` says on which side of the split key it falls."""

    split: Split
    sample: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A row that can't become a sample: it goes to quarantine under `key` with a reason and a detail."""

    split: Split
    key: str
    reason: str
    detail: str


RawRow = Accepted | Rejected


class Adapter(Protocol):
    """A module in `data/registry/adapters/`: reads one raw format.

    `read` is deterministic in (card, use, seed) and honours the caps of `use` before it does expensive work.
    `identity` names the raw content (package version or file hash): when it changes, sourcing runs again.
    """

    @staticmethod
    def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
        """The rows of a source: an `Accepted` or a `Rejected` for each, none lost."""
        ...

    @staticmethod
    def identity(card: SourceCard) -> str:
        """What the raw data are, for the fingerprint."""
        ...


def options(model: type[Options], card: SourceCard) -> Options:
    """The adapter's own settings out of a card; `AerieError` names the bad key."""
    return validated(model, card.options, f"card {card.name!r}, options")


def seeded_rank(seed: int, *parts: object) -> int:
    """A number that depends only on the seed and the parts: stable across machines, versions and row order."""
    text = "\0".join([str(seed), *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def one_in(n: int, seed: int, *parts: object) -> bool:
    """True for a seeded share of 1/n of the keys."""
    return seeded_rank(seed, "one_in", *parts) % n == 0


def seeded_keep(keys: Sequence[Key], cap: int | None, seed: int, source: str) -> list[Key]:
    """At most `cap` keys, drawn by seeded rank, in their original order."""
    if cap is None or len(keys) <= cap:
        return list(keys)
    ranked = sorted(range(len(keys)), key=lambda index: seeded_rank(seed, "keep", source, keys[index]))
    return [keys[index] for index in sorted(ranked[:cap])]


def package_version(card: SourceCard, package: str, required: str = "") -> str:
    """The installed version of a package; `AerieError` says what to install when it is missing or another."""
    wanted = f"{package}=={required}" if required else package
    try:
        installed = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise AerieError(
            f"source {card.name!r} needs the package {wanted}: run `pip install {wanted}`, "
            "or take the source out of the recipe"
        ) from None
    if required and installed != required:
        raise AerieError(f"source {card.name!r} needs {wanted}, installed is {installed}: run `pip install {wanted}`")
    return installed


def package_identity(card: SourceCard) -> str:
    """`package==version` of a `pypi://package[@version]` card, checked against what is installed."""
    package, _, required = card.uri.removeprefix("pypi://").partition("@")
    return f"{package}=={package_version(card, package, required)}"


def package_folder(card: SourceCard, module: str) -> Path:
    """The folder of an installed module, found without importing it."""
    package_identity(card)
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise AerieError(f"source {card.name!r}: package of {card.uri} is installed but has no module {module!r}")
    return Path(spec.origin).parent


def question_sample(
    card: SourceCard,
    image: ImageRef | None,
    pairs: Sequence[tuple[str, str, str]],
    meta: dict[str, Any],
) -> Sample:
    """One conversation from (question, answer, task) triples; the image is placed in the first user turn.

    `meta["tasks"]` names the task of each pair in order; `meta["task"]` is there when all are the same.
    """
    turns: list[Turn] = []
    for index, (question, answer, _) in enumerate(pairs):
        prefix = f"{IMAGE_PLACEHOLDER}\n" if image is not None and index == 0 else ""
        turns += [Turn(role="user", content=prefix + question), Turn(role="assistant", content=answer)]
    tasks = [task for _, _, task in pairs]
    if len(set(tasks)) == 1:
        meta = {**meta, "task": tasks[0]}
    return make_sample(
        source=card.name,
        category=card.category,
        images=(image,) if image is not None else (),
        conversations=tuple(turns),
        meta={**meta, "tasks": tasks},
    )
