"""Copies on the local disk of what steps read again and again or must map: named by content, so never stale."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import AerieError


def cache_folder(kind: str) -> Path:
    """$XDG_CACHE_HOME/aerie/KIND, else ~/.cache/aerie/KIND, made when it isn't there; any run may delete it."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base, "aerie", kind)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AerieError(
            f"the cache folder {folder} can't be made ({error.strerror}); set XDG_CACHE_HOME to a writable folder"
        ) from error
    return folder


@contextmanager
def new_entry(folder: Path, name: str | Callable[[Path], str]) -> Iterator[Path]:
    """A folder to fill; it gets its name, given or made of its content, when it is whole.

    Whoever comes second leaves what the first one put.
    """
    filling = Path(tempfile.mkdtemp(prefix=".filling-", dir=folder))
    try:
        yield filling
        entry = folder / (name if isinstance(name, str) else name(filling))
        try:
            os.rename(filling, entry)
        except OSError:  # another process was quicker; the name says that the content is the same
            if not entry.is_dir():
                raise
    except OSError as error:
        raise AerieError(
            f"the cache folder {folder} can't be filled ({error.strerror}); free space there, or set XDG_CACHE_HOME "
            "to a folder on a larger disk"
        ) from error
    finally:
        shutil.rmtree(filling, ignore_errors=True)


def keep_newest(folder: Path, count: int) -> None:
    """Remove all entries but the `count` newest; files that a process has mapped stay readable to it."""

    def age(path: Path) -> float:
        try:
            return -path.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    for path in sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=age)[count:]:
        shutil.rmtree(path, ignore_errors=True)
