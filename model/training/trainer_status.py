"""Progress for the TrainJob's own status (`kubectl get trainjob`): Kubeflow Trainer's alpha feature TrainJobStatus.

With the feature switched on, the Trainer injects three variables into the pods: the address, and the paths of a
certificate and of a token that it renews. A POST of `trainerStatus` (progressPercentage, estimatedRemainingSeconds,
metrics as text, lastUpdatedTime) becomes `status.trainerStatus`; see proposal 2779 of kubeflow/trainer. Training never
depends on it: a failure is said once, and no step waits for an answer.
"""

import json
import os
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

URL, CA_CERT, TOKEN = (f"KUBEFLOW_TRAINER_SERVER_{name}" for name in ("URL", "CA_CERT", "TOKEN"))
SECONDS_BETWEEN_REPORTS = 5.0  # the Trainer's documentation asks for no more
SECONDS_FOR_AN_ANSWER = 5.0
LONGEST = 64  # characters of a metric's name and of its value


class TrainerStatus:
    """Reports from a thread of its own; a step that comes too early, or while one is under way, is left out."""

    def __init__(self, label: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url, self._label, self._clock = os.environ.get(URL, ""), label, clock
        self._last, self._complained = -SECONDS_BETWEEN_REPORTS, False
        self._thread: threading.Thread | None = None

    def report(self, *, share: float, remaining_seconds: float, metrics: Mapping[str, float]) -> None:
        """Tell how much of the stage is done (0 to 1), the seconds left, and the latest numbers."""
        early = self._clock() - self._last < SECONDS_BETWEEN_REPORTS
        if not self._url or early or (self._thread and self._thread.is_alive()):
            return
        self._last = self._clock()
        self._thread = threading.Thread(
            target=self._send, args=(status(min(share, 0.99), remaining_seconds, metrics),), daemon=True
        )
        self._thread.start()

    def close(self, metrics: Mapping[str, float]) -> None:
        """Tell that the stage is trained; waits for the answer, seconds at most."""
        if self._url:
            if self._thread:
                self._thread.join(SECONDS_FOR_AN_ANSWER)
            self._send(status(1.0, 0.0, metrics))

    def _send(self, document: dict[str, Any]) -> None:
        try:
            token = Path(os.environ[TOKEN]).read_text().strip()  # read anew each time: it is renewed
            context = ssl.create_default_context(cafile=os.environ.get(CA_CERT)) if self._secure else None
            request = urllib.request.Request(
                self._url,
                data=json.dumps(document).encode(),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                method="POST",
            )
            urllib.request.urlopen(request, timeout=SECONDS_FOR_AN_ANSWER, context=context).close()
        except (OSError, KeyError, ValueError) as error:
            self._complain(error)

    @property
    def _secure(self) -> bool:
        return self._url.startswith("https:")

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            why = f"{type(error).__name__}: {error}"
            print(f"{self._label}  the Trainer takes no progress report ({why}); training goes on", flush=True)


def status(share: float, remaining_seconds: float, metrics: Mapping[str, float]) -> dict[str, Any]:
    """The request's document."""
    return {
        "trainerStatus": {
            "progressPercentage": int(100 * share),
            "estimatedRemainingSeconds": max(int(remaining_seconds), 0),
            "metrics": [{"name": name[:LONGEST], "value": f"{value:.6g}"} for name, value in metrics.items()],
            "lastUpdatedTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    }
