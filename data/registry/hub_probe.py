"""What the Hugging Face hub tells about a data set: its commit, its licence, and the files that a card means.

Three questions of the hub's HTTP interface: the data set at a revision, what a path is, and the tree below a folder.
"""

import fnmatch
import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

from data.registry.asking import Answer, BrokenAnswerError, UnreachableError, ask
from data.registry.cards import SourceCard
from data.registry.probes import Finding, Probe, RemoteFile, failed, mib, refused, unknown_licence

HUB = "https://huggingface.co"
PAGES = 100  # of a file list, 1,000 files each
WILD = re.compile(r"[*?\[]")


class _NoAnswerError(Exception):
    """The hub refuses; carries the finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.detail)
        self.finding = finding


def hub_place(card: SourceCard) -> tuple[str, str]:
    """(OWNER/NAME, path in it) of an hf:// card; the path is empty for the whole repository."""
    owner, name, *path = card.uri.removeprefix("hf://datasets/").split("/")
    return f"{owner}/{name}", "/".join(path)


def probe_hub(card: SourceCard) -> Probe:
    """Findings about an hf:// card and the files that its URI means; asks HF_ENDPOINT, with HF_TOKEN when it is set.

    Raises `UnreachableError` and `BrokenAnswerError`.
    """
    repository, path = hub_place(card)
    try:
        hub = _Hub(repository, card.revision)
        files = tuple(hub.files(path))
    except _NoAnswerError as error:
        return Probe(findings=(error.finding,))
    findings = (_found(repository, path, files), _commit(card, hub.commit), _licence(card, hub.licence))
    return Probe(findings=findings, files=files)


class _Hub:
    """One data set of the hub at one commit."""

    def __init__(self, repository: str, revision: str | None) -> None:
        self.endpoint = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
        self.server = urlsplit(self.endpoint).netloc
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
            raise UnreachableError(f"{self.server} (HF_HUB_OFFLINE is set)")
        self.base = f"{self.endpoint}/api/datasets/{repository}"
        self.repository, self.revision = repository, revision
        info = self._object(self._get(f"{self.base}/revision/{revision or 'main'}"))
        self.commit = str(info.get("sha") or "")
        if not self.commit:
            raise BrokenAnswerError(f"{self.server} names no commit of {repository}")
        self.licence = (info.get("cardData") or {}).get("license")

    def files(self, path: str) -> Iterator[RemoteFile]:
        """The files below a path, at that path, or that match it as a pattern."""
        parts = path.split("/")
        fixed = next((number for number, part in enumerate(parts) if WILD.search(part)), len(parts))
        folder, pattern = "/".join(parts[:fixed]), path if fixed < len(parts) else None
        if folder:
            answer = self._get(f"{self.base}/paths-info/{self.commit}", send={"paths": [folder], "expand": False})
            for item in self._list(answer):
                if item.get("type") == "file":
                    yield _file(item)
                    return
        for item in self._tree(folder):
            if item.get("type") == "file" and (pattern is None or fnmatch.fnmatchcase(str(item["path"]), pattern)):
                yield _file(item)

    def _tree(self, folder: str) -> Iterator[dict[str, Any]]:
        url = f"{self.base}/tree/{self.commit}/{quote(folder)}?recursive=true"
        for _ in range(PAGES):
            answer = self._get(url, missing_is_empty=True)
            if answer.status == 404:
                return
            yield from self._list(answer)
            following = re.search(r'<([^>]+)>;\s*rel="next"', answer.headers.get("Link", ""))
            if following is None:
                return
            url = following[1]
            if not url.startswith(f"{self.endpoint}/"):  # the token would go there
                raise BrokenAnswerError(f"{self.server} sends us on to {urlsplit(url).netloc}")

    def _get(self, url: str, send: Any = None, missing_is_empty: bool = False) -> Answer:
        answer = ask(url, _token(), send)
        if answer.status == 200 or (answer.status == 404 and missing_is_empty):
            return answer
        raise _NoAnswerError(self._refusal(answer))

    def _refusal(self, answer: Answer) -> Finding:
        kind = answer.headers.get("X-Error-Code", "")
        if kind == "GatedRepo":
            words = f"accept its terms at {self.endpoint}/datasets/{self.repository} and set HF_TOKEN"
            return Finding(what="place", outcome="unknown", detail=f"{self.repository} is gated: {words}")
        if kind == "RevisionNotFound":
            return failed("revision", f"{self.repository} has no commit {self.revision}; correct `revision`")
        if answer.status in {401, 404}:  # the hub doesn't tell private from missing
            words = "or it is private and HF_TOKEN doesn't open it; correct `uri`"
            return failed("place", f"{self.server} has no data set {self.repository}, {words}")
        return refused("place", answer.status, self.repository)

    def _object(self, answer: Answer) -> dict[str, Any]:
        found = answer.document(self.server)
        if not isinstance(found, dict):
            raise BrokenAnswerError(f"{self.server} answered with a list where an object was expected")
        return found

    def _list(self, answer: Answer) -> list[dict[str, Any]]:
        found = answer.document(self.server)
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise BrokenAnswerError(f"{self.server} answered with something else than a list of files")
        return found


def _token() -> dict[str, str]:
    token = os.environ.get("HF_TOKEN", "")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _file(item: dict[str, Any]) -> RemoteFile:
    return RemoteFile(path=str(item.get("path")), size=int(item.get("size") or 0))


def _found(repository: str, path: str, files: tuple[RemoteFile, ...]) -> Finding:
    if not files:
        return failed("place", f"{repository} has no file {path!r} at this commit; correct `uri`")
    where, noun = f"{repository}/{path}".rstrip("/"), "file" if len(files) == 1 else "files"
    words = f"{where}: {len(files)} {noun}, {mib(sum(file.size for file in files))}"
    return Finding(what="place", outcome="ok", detail=words)


def _commit(card: SourceCard, commit: str) -> Finding:
    if card.revision is None:
        words = f"the card pins none; the newest commit is {commit}, write it as `revision`"
        return Finding(what="revision", outcome="unknown", detail=words)
    if not commit.startswith(card.revision):
        return failed("revision", f"the card pins {card.revision}, the hub answers with {commit}")
    return Finding(what="revision", outcome="ok", detail=commit)


def _licence(card: SourceCard, told: Any) -> Finding:
    """The card's licence against the tag of the hub's own card."""
    tags = [
        str(tag) for tag in (told if isinstance(told, list) else [told]) if tag not in (None, "", "unknown", "other")
    ]
    if not card.licence_known:
        return unknown_licence(f"the hub says {', '.join(tags) or 'none'}")
    if not tags:
        return Finding(what="licence", outcome="unknown", detail=f"the card says {card.licence}, the hub names none")
    if card.licence.split(" ")[0].lower() in {tag.lower() for tag in tags}:
        return Finding(what="licence", outcome="ok", detail=f"{card.licence}, as the hub says")
    return failed("licence", f"the card says {card.licence}, the hub says {', '.join(tags)}")
