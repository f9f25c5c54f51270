"""What a source's place tells before a row is read: is it there, which version or commit, under which licence."""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from data.errors import AerieError
from data.registry.asking import ask
from data.registry.cards import UNKNOWN, SourceCard
from data.registry.rows import package_identity

Outcome = Literal["ok", "failed", "unknown"]
HEAD_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `unknown` means that it couldn't be found out, never that it is good."""

    what: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file of a hub's repository: path in the repository, and bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Findings about a place, and its files when it is a hub that lists them. `size` in bytes, None when not told."""

    findings: tuple[Finding, ...]
    files: tuple[RemoteFile, ...] = ()
    size: int | None = None

    @property
    def readable(self) -> bool:
        """True when nothing speaks against reading rows."""
        return all(finding.outcome == "ok" for finding in self.findings if finding.what == "place")


def probe(card: SourceCard) -> Probe:
    """Look at the place of a card that has one; raises `UnreachableError` and `BrokenAnswerError` (see `asking`)."""
    scheme = card.uri.partition("://")[0]
    if scheme == "hf":
        from data.registry.hub_probe import probe_hub

        return probe_hub(card)
    probes = {"pypi": _package, "file": _local, "https": _web}
    return probes[scheme](card) if scheme in probes else Probe(findings=(_card_licence(card),))


def _package(card: SourceCard) -> Probe:
    try:
        identity = package_identity(card)
    except AerieError as error:
        return Probe(findings=(failed("place", str(error)),))
    package, _, installed = identity.partition("==")
    pinned = card.uri.partition("@")[2]
    if pinned and card.version not in {pinned, UNKNOWN}:
        words = f"the card's version is {card.version!r}, its uri asks for {pinned}"
        version = failed("version", words)
    else:
        words = f"{installed} is installed, as the card asks" if pinned else f"{installed}; the card takes any version"
        version = Finding(what="version", outcome="ok", detail=words)
    told = _package_licence(package)
    licence = Finding(what="licence", outcome="ok", detail=f"{card.licence}; the package's metadata: {told or 'none'}")
    if not card.licence_known:
        licence = unknown_licence(f"the package's metadata: {told or 'none'}")
    return Probe(findings=(Finding(what="place", outcome="ok", detail=f"package {package}"), version, licence))


def _package_licence(package: str) -> str:
    metadata: Any = importlib.metadata.metadata(package)
    texts = [metadata.get("License-Expression"), *(metadata.get("License") or "").strip().splitlines()[:1]]
    classifiers = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or [] if "License ::" in text]
    return next((text for text in [*texts, *classifiers] if text and text != "UNKNOWN"), "")


def _local(card: SourceCard) -> Probe:
    path = Path(card.uri.removeprefix("file://"))
    # A pattern (`*.parquet`) is no file itself; whether it matches one is the adapter's to say.
    if path.exists() or any(sign in str(path) for sign in "*?["):
        place = Finding(what="place", outcome="ok", detail=str(path))
    else:
        place = failed("place", f"{path} isn't there; correct `uri`")
    return Probe(findings=(place, _card_licence(card)))


def _card_licence(card: SourceCard) -> Finding:
    if not card.licence_known:
        return unknown_licence("the place states none")
    return Finding(what="licence", outcome="ok", detail=f"{card.licence} (the card says so; the place states none)")


def unknown_licence(told: str) -> Finding:
    """For a card that names no licence; `told` is what its place says."""
    return Finding(what="licence", outcome="unknown", detail=f"the card names no licence; {told}")


def _web(card: SourceCard) -> Probe:
    server = urlsplit(card.uri).netloc
    answer = ask(card.uri.partition("#")[0], first=HEAD_BYTES)
    if answer.status not in {200, 206}:
        return Probe(findings=(refused("place", answer.status, f"{card.uri}; correct `uri`"),))
    words = f"{server} has it" + (f", {mib(answer.total)}" if answer.total is not None else "")
    return Probe(findings=(Finding(what="place", outcome="ok", detail=words), _card_licence(card)), size=answer.total)


def mib(size: int) -> str:
    """A size for people."""
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size:,} bytes"


def failed(what: str, detail: str) -> Finding:
    """A finding that speaks against the card."""
    return Finding(what=what, outcome="failed", detail=detail)


def refused(what: str, status: int, words: str) -> Finding:
    """A server that is broken or busy says nothing about the source; any other refusal does."""
    broken = status >= 500 or status == 429
    return Finding(what=what, outcome="unknown" if broken else "failed", detail=f"answer {status} for {words}")
