"""At most one submitter at a time may create a run: numbered files in the storage, each made by exactly one.

KFP keeps the run id that we send, but it starts the workflow before it looks whether the id is taken. So two equal
requests are one row in its table and two workflows at work, and no question beforehand excludes the second request.
"""

import json
import os
import socket
import uuid
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3

from components.trainjob_patience import back_off
from data.errors import AerieError
from data.files import exists, is_s3, join, read_bytes
from pipelines.kfp_client import Pace

FOLDER = "submissions"
WRITTEN, TAKEN = {200}, {409, 412}  # 409: another's conditional write of the same object is under way
TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)


class Claims:
    """The claims on one run id: STORAGE/submissions/RUN_ID/NUMBER.json."""

    def __init__(self, storage_uri: str, run_id: str, pace: Pace) -> None:
        self._folder, self._pace = join(storage_uri, FOLDER, run_id), pace

    def take(self, number: int) -> bool:
        """True when the claim is ours, False when somebody else took this number before."""
        who = {"host": socket.gethostname(), "process": os.getpid(), "claim": uuid.uuid4().hex}
        return create_once(join(self._folder, f"{number}.json"), json.dumps(who).encode(), self._pace)


def create_once(uri: str, payload: bytes, pace: Pace) -> bool:
    """Create a file unless it exists; of several at once, exactly one gets True. Payloads must differ."""
    return _create_object(uri, payload, pace) if is_s3(uri) else _create_file(Path(uri), payload)


def _create_file(path: Path, payload: bytes) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as stream:
            stream.write(payload)
    except FileExistsError:
        return False
    return True


def _create_object(uri: str, payload: bytes, pace: Pace) -> bool:
    """Put an object with `If-None-Match: *`, which AWS, MinIO and SeaweedFS carry out as one step."""
    failures, since = 0, pace.clock()
    while (status := _put_if_absent(uri, payload)) not in WRITTEN | TAKEN:
        if (0 < status < 500 and status != 429) or pace.clock() - since > pace.waiting.give_up_after:
            answer = f"answers {status}" if status else "doesn't answer"
            raise AerieError(f"can't write {uri}: the store {answer}; check AWS_ENDPOINT_URL, keys and bucket")
        failures += 1
        pace.sleep(back_off(failures, pace.waiting, pace.random))
    # A repetition meets the object of its own first try when only the answer was lost.
    return status in WRITTEN or (exists(uri) and read_bytes(uri) == payload)


def _put_if_absent(uri: str, payload: bytes) -> int:
    """The store's status, 0 without an answer. No word of the address: it holds a signature."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    address = _store(os.environ.get("AWS_ENDPOINT_URL", "")).get_presigned_url("PUT", bucket, key)
    try:
        headers = {"If-None-Match": "*"}
        return urllib3.request("PUT", address, body=payload, headers=headers, timeout=TIMEOUT, retries=False).status
    except (urllib3.exceptions.HTTPError, OSError):
        return 0


@cache
def _store(endpoint: str) -> Any:
    from minio import Minio
    from minio.credentials import EnvAWSProvider

    address = urlsplit(endpoint or "https://s3.amazonaws.com")
    region = os.environ.get("AWS_REGION", "us-east-1")
    return Minio(address.netloc, secure=address.scheme == "https", region=region, credentials=EnvAWSProvider())
