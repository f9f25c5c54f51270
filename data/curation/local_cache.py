"""Copies on the local disk of what steps read again and again or must map: named by content, so never stale."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import AerieError


def cache_folder(kind: str) -> Path:
    """$XDG_CACHE_HOME/aerie/KIND, else ~/.cache/aerie/KIND, made when it isn't there; any run may delete it.

    A user without a home of its own, as a cluster may have it, gets a private folder among the temporary files.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return _made(Path(base or os.path.expanduser("~/.cache"), "aerie", kind))
    except OSError as error:
        if not base:
            return _made_private(Path(tempfile.gettempdir(), f"aerie-{os.getuid()}"), kind)
        raise AerieError(
            f"the cache folder {base}/aerie can't be made ({error.strerror}); set XDG_CACHE_HOME to a writable folder"
        ) from error


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    return folder


def _made_private(home: Path, kind: str) -> Path:
    """A folder that nobody else can have filled."""
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        if home.is_symlink() or home.stat().st_uid != os.getuid():
            raise PermissionError(errno.EACCES, "it belongs to somebody else", str(home))
        return _made(home / kind)
    except OSError as error:
        raise AerieError(
            f"the cache folder {home} can't be used ({error.strerror}); set XDG_CACHE_HOME to a writable folder"
        ) from error


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
