"""How a training process hears that it must end: a polite signal, or the death of the process that started it."""

import os
import signal
import sys
import threading

STOPPED_EXIT_CODE = 75  # EX_TEMPFAIL: state saved, start again to go on


class StopRequest:
    """Set by SIGTERM; the loop looks at it after every step."""

    def __init__(self) -> None:
        self.requested = False

    def listen(self) -> None:
        """Take SIGTERM as a request to save and stop. Ctrl-C reaches the processes as SIGTERM from their parent."""
        signal.signal(signal.SIGTERM, self._request)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _request(self, *_: object) -> None:
        self.requested = True


def die_with_parent() -> None:
    """End this process when its standard input closes.

    The input is a pipe whose other end only `train_stage` holds, handed through torchrun: it closes however that
    process ends, also by SIGKILL, on every system. Otherwise a killed run would go on training in the background.
    """
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)
