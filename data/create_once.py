"""Files that exist once and never change: whoever is first makes the file, whole; everybody else learns that he isn't.

Local files are linked to their name when they are complete, objects are put with `If-None-Match: *`, which AWS, MinIO
and SeaweedFS carry out as one step. So a reader never sees a part, and a process that dies leaves nothing.
"""

import io
import os
from functools import cache
from pathlib import Path

import certifi
import urllib3

from data.errors import AerieError
from data.files import exists, is_s3, read_bytes, whole_file
from data.object_client import PATIENCE, client, patiently

WRITTEN, TAKEN = {200, 201}, {409, 412}  # 409: another's conditional write of the same object is under way


def create_once(uri: str, payload: bytes) -> bool:
    """Create a file unless it exists; of several writers at once exactly one gets True (equal payloads aside)."""
    return _create_object(uri, payload) if is_s3(uri) else _create_file(Path(uri), payload)


def _create_file(target: Path, payload: bytes) -> bool:
    try:
        with whole_file(target, io.BytesIO(payload)) as whole:
            os.link(whole, target)
    except FileExistsError:
        return False
    except PermissionError as error:  # also what a file system without hard links says
        raise AerieError(f"can't write {target} ({error.strerror}); use a disk with hard links, or s3://") from None
    return True


def _create_object(uri: str, payload: bytes) -> bool:
    bucket, _, key = uri.removeprefix("s3://").partition("/")

    def once() -> int:
        address = client().get_presigned_url("PUT", bucket, key)
        headers = {"If-None-Match": "*"}
        return _pool(os.getpid()).request("PUT", address, body=payload, headers=headers).status

    status = patiently(uri, once)
    if status in WRITTEN:
        return True
    if status not in TAKEN:  # no word of the address: it holds a signature
        raise AerieError(f"can't write {uri}: the store answers {status}; check AWS_ENDPOINT_URL, keys and bucket")
    # A repetition meets the object of its own first try when only the answer was lost.
    return exists(uri) and read_bytes(uri) == payload


@cache
def _pool(process: int) -> urllib3.PoolManager:
    """Connections of this process; `process` is its id, since a forked one can't share them."""
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=PATIENCE.connect, read=PATIENCE.read),
        retries=PATIENCE.retries(),
        cert_reqs="CERT_REQUIRED",
        ca_certs=os.environ.get("AWS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or certifi.where(),
    )
