"""Objects in s3:// buckets: whole reads and whole writes.

A write is one PUT, or for a large object a multipart upload that counts when it is completed; its length and its hash
travel with it, so the store never shows a part. What an upload left behind when its process died is invisible, and the
bucket's lifecycle rule removes it.
"""

import io
import os
from collections.abc import Callable

from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.helpers import ObjectWriteResult, check_bucket_name
from urllib3.exceptions import ProtocolError

from data.errors import AerieError
from data.object_client import MISSING, client, patiently

PART_BYTES = 64 << 20  # larger objects go up in parts; S3 takes 10,000 of them


def read_object(uri: str, offset: int = 0, length: int = 0) -> bytes | None:
    """The object's bytes, None when there is none; with a `length` that many from `offset` on, or what there is."""
    bucket, key = _address(uri)

    def once() -> bytes | None:
        try:
            response = client().get_object(bucket, key, offset, length)
        except S3Error as error:
            if error.code in MISSING:
                return None
            if error.code == "InvalidRange":  # it ends before
                return b""
            raise
        try:
            if response.length_remaining is None and not response.chunked:
                raise ProtocolError("the answer broke off before it said how long it is")
            return response.read()  # raises when fewer bytes arrive than were announced
        finally:
            response.close()
            response.release_conn()

    return patiently(uri, once)


def write_object(uri: str, payload: bytes) -> None:
    """Put an object whole; readers see the old one until then."""
    bucket, key = _address(uri)
    size = len(payload)
    _put(uri, lambda: client().put_object(bucket, key, io.BytesIO(payload), size, part_size=PART_BYTES))


def upload_file(path: str, uri: str) -> None:
    """Put a local file of any size, without holding it in memory."""
    bucket, key = _address(uri)
    _put(uri, lambda: client().fput_object(bucket, key, path, part_size=PART_BYTES))


def download_file(uri: str, path: str) -> None:
    """Fetch an object of any size; the file appears when it is whole."""
    bucket, key = _address(uri)
    part = f"{path}.part"

    def once() -> None:
        size = client().fget_object(bucket, key, part).size
        if size != os.path.getsize(part):
            raise ProtocolError("the answer broke off")
        os.replace(part, path)

    patiently(uri, once)


def object_exists(uri: str) -> bool:
    """True when the object is there; a store that can't say raises `AerieError`."""
    bucket, key = _address(uri)

    def once() -> bool:
        try:
            client().stat_object(bucket, key)
        except S3Error as error:
            if error.code in MISSING:
                return False
            raise
        return True

    return patiently(uri, once)


def object_keys(uri: str, *, recursive: bool = True) -> list[str]:
    """Keys below a prefix, relative to it, sorted; without `recursive` the next level only, folders with a slash."""
    bucket, prefix = _address(uri.rstrip("/") + "/")
    found = patiently(uri, lambda: list(client().list_objects(bucket, prefix, recursive=recursive)))
    return sorted(item.object_name.removeprefix(prefix) for item in found if item.object_name != prefix)


def remove_objects(uri: str, keys: list[str]) -> None:
    """Remove objects below a prefix; one that isn't there is no error."""
    bucket, prefix = _address(uri.rstrip("/") + "/")

    def once() -> None:
        for error in client().remove_objects(bucket, [DeleteObject(prefix + key) for key in keys]):
            raise ProtocolError(f"could not delete: {error.code}")

    patiently(uri, once)


def _put(uri: str, put: Callable[[], ObjectWriteResult]) -> None:
    def once() -> None:
        # A multipart upload can fail under status 200; what tells is that the answer names no object.
        if not put().etag:
            raise ProtocolError("the upload was not completed")

    patiently(uri, once)


def _address(uri: str) -> tuple[str, str]:
    """(bucket, key) of s3://BUCKET/KEY."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not key:
        raise AerieError(f"{uri!r} names no object; write s3://BUCKET/PREFIX")
    try:
        check_bucket_name(bucket)
    except ValueError as error:
        raise AerieError(f"{uri!r}: {error}") from None
    return bucket, key
