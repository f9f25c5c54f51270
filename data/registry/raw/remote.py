"""Remote places as local files: each file is fetched when it is first asked for, whole or not at all.

The cache is `$XDG_CACHE_HOME/aerie/raw` (`~/.cache/aerie/raw`); a file stands there under the hash of its address and
version, so a new version never meets an old copy. It may be deleted at any time. Hub files go to huggingface_hub's own
cache (`HF_HOME`).
"""

import hashlib
import os
import tempfile
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import urllib3

from data.errors import AerieError
from data.object_client import Patience, client, patiently
from data.object_store import download_file
from data.registry.raw.limits import CHUNK_BYTES, REDIRECTS
from data.registry.raw.places import WILD, Place, file_hash, safe_name, wanted
from data.registry.raw.problems import BadRowError

PATIENCE = Patience(requests=4, first_pause=0.2, longest_pause=5.0)  # a source that is down is told within a minute


def unreachable(uri: str, why: object) -> AerieError:
    """What a user can do without the network."""
    return AerieError(f"{uri} can't be reached ({why}); download it and point a card with file:// at it")


def cache_file(address: str, version: str, name: str) -> Path:
    """Where a fetched file stands; its folder exists."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.access(home if os.path.isdir(home) else os.path.dirname(home), os.W_OK):
        home = tempfile.gettempdir()  # a pod without a home
    mark = hashlib.sha256(f"{address}\0{version}".encode()).hexdigest()[:32]
    target = Path(home) / "aerie" / "raw" / mark / Path(name).name
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _meant(place: Place, name: str) -> str:
    """A name that the card itself gives; that nothing is there is the user's to mend."""
    try:
        place.identity(name)
    except BadRowError as problem:
        raise AerieError(f"{problem}; correct `uri`") from None
    return name


class BucketPlace:
    """`s3://BUCKET/KEY`, a prefix that ends in `/`, or a pattern. An object's version is its ETag."""

    def __init__(self, uri: str) -> None:
        fixed = uri[: found.start()] if (found := WILD.search(uri)) else uri
        self.pattern = uri[fixed.rfind("/") + 1 :] if found else None
        self.folder = fixed[: fixed.rfind("/") + 1]
        self.single = None if uri.endswith("/") or found else uri[len(self.folder) :]
        self._tags: dict[str, str] = {}

    def names(self, suffixes: tuple[str, ...]) -> list[str]:
        """See `Place`."""
        if self.single is not None:
            return [_meant(self, self.single)]
        bucket, _, prefix = self.folder.removeprefix("s3://").partition("/")
        found = patiently(self.folder, lambda: list(client().list_objects(bucket, prefix, recursive=True)))
        self._tags = {str(item.object_name).removeprefix(prefix): str(item.etag) for item in found}
        names = wanted((name for name in self._tags if not name.endswith("/")), self.pattern, suffixes)
        if not names:
            raise AerieError(f"no object {self.pattern or list(suffixes)} in {self.folder}; correct `uri`")
        return names

    def path(self, name: str, what: str = "file") -> Path:
        """See `Place`."""
        tag = self.identity(name)
        target = cache_file(self.folder + name, tag, name)
        if not target.exists():
            download_file(self.folder + name, str(target))
        return target

    def identity(self, name: str) -> str:
        """The object's ETag."""
        name = safe_name(name, "object")
        if name not in self._tags:
            bucket, _, key = (self.folder + name).removeprefix("s3://").partition("/")
            try:
                stat = patiently(self.folder + name, lambda: client().stat_object(bucket, key))
            except AerieError as error:
                if str(error).startswith("file not found"):
                    raise BadRowError("missing_file", str(error)) from None
                raise
            self._tags[name] = str(stat.etag)
        return self._tags[name]


class HubPlace:
    """`hf://datasets/OWNER/NAME[@REVISION][/PATH]`: files of a data set on the Hugging Face Hub, at one commit."""

    def __init__(self, uri: str, revision: str | None) -> None:
        owner, name, *path = uri.removeprefix("hf://datasets/").split("/")
        name, _, pinned = name.partition("@")
        if not owner or not name:
            raise AerieError(f"{uri!r} must read hf://datasets/OWNER/NAME[@REVISION][/PATH]")
        self.uri, self.repository, self.revision = uri, f"{owner}/{name}", revision or pinned or "main"
        self.target = "/".join(path)
        self._listing: tuple[str, list[str]] | None = None

    def _api(self) -> Any:
        from huggingface_hub import HfApi  # takes a second to import

        return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))

    def _call(self, call: Any) -> Any:
        from huggingface_hub import errors

        try:
            return call()
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
            detail = f"{self.uri}: no such data set or revision {self.revision!r} that this machine may read"
            raise AerieError(f"{detail} ({type(error).__name__}); correct `uri`, or log in with HF_TOKEN") from None
        except (errors.RemoteEntryNotFoundError, errors.LocalEntryNotFoundError, OSError) as error:
            if isinstance(error, errors.RemoteEntryNotFoundError):
                raise BadRowError("missing_file", f"not in {self.repository} at {self.revision}") from None
            raise unreachable(self.uri, type(error).__name__) from None
        except Exception as error:  # the client's transport raises kinds of its own, by version
            raise unreachable(self.uri, type(error).__name__) from None

    def _files(self) -> tuple[str, list[str]]:
        """The commit that the revision means now, and its files."""
        if self._listing is None:
            info = self._call(lambda: self._api().dataset_info(self.repository, revision=self.revision))
            self._listing = str(info.sha), [entry.rfilename for entry in info.siblings or ()]
        return self._listing

    def names(self, suffixes: tuple[str, ...]) -> list[str]:
        """See `Place`."""
        files = self._files()[1]
        if self.target in files:
            return [self.target]
        pattern = self.target if WILD.search(self.target) else None
        below = f"{self.target}/" if self.target and pattern is None else ""
        names = wanted((name for name in files if name.startswith(below)), pattern, suffixes)
        if not names:
            raise AerieError(f"{self.uri}: no file {pattern or list(suffixes)} at {self.revision}; correct `uri`")
        return names

    def path(self, name: str, what: str = "file") -> Path:
        """See `Place`."""
        name, commit = safe_name(name, what), self._files()[0]
        fetched = self._call(
            lambda: self._api().hf_hub_download(self.repository, name, repo_type="dataset", revision=commit)
        )
        return Path(fetched)

    def identity(self, name: str) -> str:
        """The commit: files of one commit never change."""
        return f"{self._files()[0]}/{safe_name(name, 'file')}"


class WebPlace:
    """`https://HOST/PATH[#sha256=HASH]`: one file, and files beside it that rows name.

    With a hash the content is pinned; without one its version is the server's ETag, or the content itself.
    """

    def __init__(self, uri: str) -> None:
        address, _, mark = uri.partition("#")
        self.folder, _, self.single = address.rpartition("/")
        self.folder += "/"
        self.pinned = mark.removeprefix("sha256=") if mark.startswith("sha256=") else None
        self._tags: dict[str, str] = {}
        self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=PATIENCE.connect, read=PATIENCE.read))

    def names(self, suffixes: tuple[str, ...]) -> list[str]:
        """See `Place`."""
        return [_meant(self, self.single)]

    def identity(self, name: str) -> str:
        """The pinned hash, the server's ETag with the length, or the content's hash."""
        if self.pinned and name == self.single:
            return self.pinned
        if name not in self._tags:
            response = self._ask("HEAD", self._address(name))
            response.close()
            tag, size = response.headers.get("ETag", ""), response.headers.get("Content-Length", "")
            # A weak tag names a meaning, not bytes.
            exact = tag and not tag.startswith("W/")
            self._tags[name] = f"{tag} {size}" if exact else file_hash(self._fetched(name, uuid.uuid4().hex))
        return self._tags[name]

    def path(self, name: str, what: str = "file") -> Path:
        """See `Place`."""
        return self._fetched(name, self.identity(name))

    def _address(self, name: str) -> str:
        return self.folder + (name if name == self.single else quote(safe_name(name, "file")))

    def _fetched(self, name: str, version: str) -> Path:
        target = cache_file(self._address(name), version, name.partition("?")[0])
        if target.exists():
            return target
        part = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
        try:
            self._download(self._address(name), part)
            if self.pinned and name == self.single and (found := file_hash(part)) != self.pinned:
                raise AerieError(f"{self._address(name)} has sha256 {found}, the card pins {self.pinned}; it changed")
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def _download(self, address: str, part: Path) -> None:
        for tries_left in reversed(range(PATIENCE.operations)):
            response = self._ask("GET", address)
            try:
                with part.open("wb") as stream:
                    for chunk in response.stream(CHUNK_BYTES, decode_content=False):
                        stream.write(chunk)
                return
            except urllib3.exceptions.HTTPError as error:  # broke off before its length
                if not tries_left:
                    raise unreachable(address, type(error).__name__) from None
            finally:
                response.release_conn()

    def _ask(self, method: str, address: str) -> urllib3.BaseHTTPResponse:
        """The answer after redirects, which may not lead from https to http."""
        for _ in range(REDIRECTS + 1):
            try:
                response = self._pool.request(
                    method, address, preload_content=False, redirect=False, retries=PATIENCE.retries()
                )
            except urllib3.exceptions.HTTPError as error:
                raise unreachable(address, type(getattr(error, "reason", None) or error).__name__) from None
            target = response.get_redirect_location()
            if not target:
                return self._accepted(address, response)
            response.close()
            following = urljoin(address, target)
            if urlsplit(address).scheme == "https" and urlsplit(following).scheme != "https":
                raise AerieError(f"{address} sends us on to {urlsplit(following).scheme}, unencrypted; correct `uri`")
            address = following
        raise AerieError(f"{address}: more than {REDIRECTS} redirects; correct `uri`")

    def _accepted(self, address: str, response: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
        if response.status == 200:
            return response
        response.close()
        if response.status in {404, 410}:
            raise BadRowError("missing_file", f"{address} answers {response.status}")
        raise unreachable(address, f"it answers {response.status}")
