"""Work in forked children that die by SIGKILL at a chosen write.

A child leads a process group of its own, and the whole group is killed: workers never outlive it. The parent should
have loaded the libraries and done nothing else.
"""

import contextlib
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

MOMENTS = ("before", "torn", "after")


def doomed(step: Callable[[str], Any], folder: str, write: int, moment: str) -> None:
    """Run a step that dies at its `write`-th file (from 0), wherever in the process group it is written."""
    fsync, replace, written = os.fsync, os.replace, [0]

    def die() -> NoReturn:
        os.killpg(0, signal.SIGKILL)
        signal.pause()
        raise SystemExit

    def torn_fsync(stream: Any) -> None:
        if written[0] == write and moment != "after":
            number = stream if isinstance(stream, int) else stream.fileno()
            os.ftruncate(number, os.fstat(number).st_size // 2 if moment == "torn" else 0)
            die()
        fsync(stream)

    def last_replace(source: Any, target: Any, **given: Any) -> None:
        replace(source, target, **given)
        if written[0] == write:
            die()
        written[0] += 1

    os.fsync, os.replace = torn_fsync, last_replace
    step(folder)


def live(work: Callable[[], Any]) -> None:
    """Work that must end well, in a child."""
    assert outcome(fork(work)) == 0


def fork(work: Callable[[], Any]) -> int:
    """A child that does the work and ends."""
    if (child := os.fork()) != 0:
        with contextlib.suppress(OSError):
            os.setpgid(child, child)  # here too: whoever is first
        return child
    code = 1
    with contextlib.suppress(BaseException):
        try:
            os.setpgid(0, 0)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
    os._exit(code)


def outcome(child: int) -> int:
    """A child's exit status, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
