"""Where a benchmark's files lie: below a folder of all benchmarks, or at an address."""

import hashlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from data.errors import AerieError
from data.files import exists, is_s3, join
from data.folders import files_below
from data.object_store import object_keys
from data.registry.cards import SourceCard
from data.registry.raw.limits import CHUNK_BYTES
from data.registry.raw.places import Place, files_identity, local_path, place_of
from model.evaluation.benchmarks.cards import BenchmarkCard, Layout

TSV, PARQUET = (".tsv", ".tsv.gz"), (".parquet",)


def found(card: BenchmarkCard, data_root: str | Path) -> Path | None:
    """A benchmark's data below a local folder, as `questions` takes it; None when it isn't there: not run.

    Looked for are `FILE.tsv` in the folder or in `NAME/`, then the Parquet files of the card in `NAME/` or below it.
    """
    root = Path(data_root)
    if not root.is_dir():
        raise AerieError(f"folder of benchmark data not found: {root}; correct the path")
    for path in (root / card.tsv.files, root / card.name / card.tsv.files):
        if path.is_file():
            return path
    folder = root / card.name
    if card.parquet is not None and any(path.is_file() for path in folder.rglob(card.parquet.files)):
        return folder
    return None


def located(card: BenchmarkCard, data_root: str) -> str | None:
    """As `found`, below a local folder or an s3:// prefix, as a path or an address."""
    if not is_s3(data_root):
        return None if (path := found(card, data_root)) is None else str(path)
    for uri in (join(data_root, card.tsv.files), join(data_root, card.name, card.tsv.files)):
        if exists(uri):
            return uri
    if card.parquet is not None:
        folder, pattern = join(data_root, card.name), _anywhere(card.parquet)
        if any(fnmatchcase(key, pattern) for key in files_below(folder)):
            return join(folder, pattern)
    if not object_keys(data_root, recursive=False):
        raise AerieError(f"folder of benchmark data not found: nothing below {data_root}; correct the path")
    return None


def identity(card: BenchmarkCard, uri: str) -> str:
    """What the files of a path or URI hold, undecoded: the hashes of their bytes locally, in a bucket their ETags.

    Pictures that a row would name as files beside its table are not in it; the published files hold theirs.
    """
    place = place_of(_source(card, _meant(card, uri)))
    return files_identity(place, place.names((*TSV, *PARQUET)))


def files(card: BenchmarkCard, uri: str) -> Iterator[tuple[Layout, Place, str]]:
    """(layout, place, name) of each file of a path or URI; `AerieError` when there is none that the card can read."""
    place = place_of(_source(card, _meant(card, uri)))
    for name in place.names((*TSV, *PARQUET)):
        layout = card.tsv if name.lower().endswith(TSV) else card.parquet if name.lower().endswith(PARQUET) else None
        if layout is None:
            forms = " or ".join(sorted({item.files for item in card.layouts()}))
            raise AerieError(f"benchmark {card.name!r}: {name} can't be read; it is read from {forms}")
        yield layout, place, name


def state(card: BenchmarkCard, path: Path) -> str:
    """What local data are: `as published` by their MD5, `another version`, or `unpinned` without a known MD5."""
    if path.is_dir() or card.tsv.md5 is None:
        return "unpinned"
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return "as published" if digest.hexdigest() == card.tsv.md5 else "another version"


def file_path(place: Place, name: str) -> Path:
    """A file of a place as a local path."""
    return local_path(place, name)


def _meant(card: BenchmarkCard, uri: str) -> str:
    """The URI of a path; of a folder, the pattern of its files: a downloaded data set holds other splits too."""
    kind, _, rest = uri.partition("://")
    path = Path(rest if kind == "file" else uri)
    if kind != "file" and "://" in uri:
        return uri
    if path.is_dir() and card.parquet is not None and any(path.rglob(card.parquet.files)):
        path = path / _anywhere(card.parquet)
    elif path.is_dir():
        path = path / card.tsv.files
    return f"file://{path.absolute()}"


def _anywhere(layout: Layout) -> str:
    """The pattern of a layout's files in whatever folder below."""
    return f"*{layout.files.lstrip('*')}"


def _source(card: BenchmarkCard, uri: str) -> SourceCard:
    """The card that the readers of raw files go by."""
    layout = next((layout for layout in card.layouts() if uri.startswith(layout.uri)), None)
    return SourceCard(
        name=card.name,
        uri=uri,
        revision=layout.revision if layout is not None else None,
        licence=card.licence,
        category=card.category,
        adapter="vlmevalkit_tsv",
        split_key="index",
        description=card.description,
    )
