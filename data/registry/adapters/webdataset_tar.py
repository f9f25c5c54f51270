"""WebDataset shards, `.tar` or `.tar.gz`: neighbouring members with one key (the path up to the first dot of its name)
are one sample.

Images are members that end in an image suffix, in their order. Text is `KEY.json`: an object with `conversations`,
`messages`, `texts` (user, assistant), a question and an answer, or a caption; or a bare list of turns; or else
`KEY.txt`, a caption. Captions get a question in one of several wordings. Other members are left alone.

Held out: shards that match `heldout_files`, samples whose JSON says `split`, or a share by the card's `split_key`: a
field of the JSON, else the key. Options (`ShardOptions`): `question`, `answer`, `caption`, `task`, `heldout_files`,
`heldout_one_in`.
"""

import fnmatch
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pydantic import Field

from data.registry.cards import SourceCard
from data.registry.drawing import Candidate, draw, failing, side
from data.registry.phrasings import CAPTION, pick
from data.registry.raw.limits import GROUP_BYTES, GROUP_MEMBERS, ROW_BYTES
from data.registry.raw.lines import is_gzip
from data.registry.raw.pictures import picture
from data.registry.raw.places import files_identity, local_path, place_of
from data.registry.raw.problems import BadRowError
from data.registry.raw.tars import Member, members
from data.registry.raw.text import parse_json, utf8
from data.registry.rows import RawRow, options
from data.registry.turns import conversation, document_turns, pair_turns, with_images
from data.schema import Sample, Turn
from data.settings.base import Strict
from data.settings.sources import SourceUse

SUFFIXES = (".tar", ".tar.gz", ".tgz")
IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")


class ShardOptions(Strict):
    """What the JSON's fields are called."""

    question: str = Field(default="question", min_length=1)
    answer: str = Field(default="answer", min_length=1)
    caption: str = Field(default="caption", min_length=1)
    task: str | None = Field(default=None, min_length=1, description="task of all pairs; else caption or open")
    heldout_files: str | None = Field(default=None, description="pattern of shard names, as val-*.tar")
    heldout_one_in: int | None = Field(default=None, ge=2, description="held-out share, by the card's split_key")


class _Group:
    """The members of one key. In a plain tar they are read when asked for; in a stream at once, for they pass by."""

    def __init__(self, key: str, streamed: bool) -> None:
        self.key, self.streamed, self.size = key, streamed, 0
        self.parts: dict[str, Callable[[], bytes]] = {}
        self.problem: BadRowError | None = None

    def add(self, suffix: str, member: Member) -> None:
        """Take a member in; the first problem of any becomes the group's."""
        try:
            if member.problem is not None:
                raise member.problem
            if suffix in self.parts:
                raise BadRowError("duplicate_member", f"{member.name!r} stands there twice")
            if len(self.parts) >= GROUP_MEMBERS or self.size > GROUP_BYTES:
                raise BadRowError("row_too_large", f"more than {GROUP_MEMBERS} members or {GROUP_BYTES} bytes")
            read = member.read
            if self.streamed and self.problem is None and (_is_image(suffix) or suffix in {"json", "txt"}):
                payload = member.read()
                self.size += len(payload)
                read = partial(bytes, payload)
            self.parts[suffix] = read
        except BadRowError as problem:
            self.problem = self.problem or problem

    def document(self) -> Any:
        """The parsed JSON, None without one."""
        if self.problem is not None:
            raise self.problem
        return parse_json(self.parts["json"]()) if "json" in self.parts else None


def identity(card: SourceCard) -> str:
    """Hash of the shards."""
    place = place_of(card)
    return files_identity(place, place.names(SUFFIXES))


def read(card: SourceCard, use: SourceUse, seed: int) -> Iterator[RawRow]:
    """A row for each key of each shard; a shard that breaks off is one more rejected row."""
    settings, place = options(ShardOptions, card), place_of(card)

    def scan() -> Iterator[Candidate]:
        for name in place.names(SUFFIXES):
            for group in _groups(local_path(place, name), name):
                yield _candidate(card, settings, seed, name, group)

    return draw(card, use, seed, scan)


def _groups(path: Any, name: str) -> Iterator[_Group]:
    streamed, group = is_gzip(path), None
    for member in members(path):
        folder, slash, file = member.name.rpartition("/")
        stem, _, suffix = file.partition(".")
        key = folder + slash + stem
        if group is None or key != group.key:
            if group is not None:
                yield group
            group = _Group(key, streamed)
        group.add(suffix.lower(), member)
    if group is not None:
        yield group


def _is_image(suffix: str) -> bool:
    return suffix.rpartition(".")[2] in IMAGE_SUFFIXES


def _candidate(card: SourceCard, settings: ShardOptions, seed: int, shard: str, group: _Group) -> Candidate:
    key = f"{shard}:{group.key}" if group.key else shard
    explicit = "heldout" if fnmatch.fnmatchcase(shard, settings.heldout_files or "") else None
    try:
        document = group.document()
    except BadRowError as problem:
        unique = key.encode("utf-8", "backslashreplace").decode()
        return Candidate(key=key, unique=unique, split=side(card, seed, None, key, explicit), make=failing(problem))
    fields = document if isinstance(document, dict) else {}
    split = side(
        card, seed, settings.heldout_one_in, fields.get(card.split_key, group.key), fields.get("split") or explicit
    )
    make = partial(_sample, card, settings, seed, key, group, document)
    return Candidate(key=key, unique=key, split=split, make=make, repeated="duplicate_id")


def _sample(card: SourceCard, settings: ShardOptions, seed: int, key: str, group: _Group, document: Any) -> Sample:
    images = [picture(group.parts[name](), f"{group.key}.{name}") for name in group.parts if _is_image(name)]
    turns, task = _turns(settings, seed, card.name, group, document)
    return conversation(card, key, with_images(turns, len(images)), images, settings.task or task)


def _turns(
    settings: ShardOptions, seed: int, source: str, group: _Group, document: Any
) -> tuple[tuple[Turn, ...], str]:
    fields = document if isinstance(document, dict) else {"conversations": document} if document is not None else {}
    turns = document_turns(fields, settings.question, settings.answer)
    if turns is not None:
        return turns, "open"
    caption = fields.get(settings.caption)
    if caption is None and "txt" in group.parts:
        payload = group.parts["txt"]()
        if len(payload) > ROW_BYTES:
            raise BadRowError("row_too_large", f"a text of {len(payload)} bytes, {ROW_BYTES} are allowed")
        caption = utf8(payload)
    if not isinstance(caption, str):
        raise BadRowError("invalid_row", f"no conversation, question or caption in {sorted(group.parts)}")
    return pair_turns([(pick(CAPTION, seed, source, group.key), caption.strip())]), "caption"
