"""At most one submitter at a time may create a run: numbered files in the storage, each made by exactly one.

KFP keeps the run id that we send, but it starts the workflow before it looks whether the id is taken. So two equal
requests are one row in its table and two workflows at work, and no question beforehand excludes the second request.
"""

import json
import os
import socket
import uuid

from data.create_once import create_once
from data.files import join

FOLDER = "submissions"


class Claims:
    """The claims on one run id: STORAGE/submissions/RUN_ID/NUMBER.json."""

    def __init__(self, storage_uri: str, run_id: str) -> None:
        self._folder = join(storage_uri, FOLDER, run_id)

    def take(self, number: int) -> bool:
        """True when the claim is ours, False when somebody else took this number before."""
        who = {"host": socket.gethostname(), "process": os.getpid(), "claim": uuid.uuid4().hex}
        return create_once(join(self._folder, f"{number}.json"), json.dumps(who).encode())
