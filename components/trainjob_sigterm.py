"""What a launcher does when its own pod is stopped: nothing to the job."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def leaving_the_job(say: Callable[[str], None]) -> Iterator[None]:
    """On SIGTERM end this process and nothing else: a launcher that is started again adopts the job."""

    def leave(*_: Any) -> None:
        say("this launcher was asked to stop; the job goes on, and a repeated launch finds it")
        raise SystemExit(128 + signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
