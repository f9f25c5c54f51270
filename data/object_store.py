"""Objects in s3:// buckets: whole reads and writes that either happened or did not, with patience for a busy store.

A write is one PUT (or a multipart upload that is completed at its end), and its bytes' hash travels with it, so a store
never shows a part. Every operation is repeated with growing pauses while the store is busy, slow or gone; what remains
after that is an `AerieError` that names the object. Endpoint and keys come from the AWS_* variables.
"""

import io
import os
import random
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from data.errors import AerieError

Result = TypeVar("Result")
PART_BYTES = 64 << 20  # larger objects go up in parts
TRIES, FIRST_PAUSE, LONGEST_PAUSE = 8, 0.1, 10.0  # about half a minute in all
CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0  # a store that says nothing for so long is asked again
BUSY = {"InternalError", "SlowDown", "ServiceUnavailable", "RequestTimeout", "RequestTimeTooSkewed", "OperationAborted"}
BUSY |= {"TooManyRequests", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"}
MISSING = {"NoSuchKey", "NoSuchObject", "NoSuchVersion"}
DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}


def read_object(uri: str) -> bytes | None:
    """The object's bytes, None when there is none."""

    def once() -> bytes | None:
        try:
            response = _client().get_object(*_address(uri))
        except S3Error as error:
            if error.code in MISSING:
                return None
            raise
        try:
            payload = response.read()
        finally:
            response.close()
            response.release_conn()
        if len(payload) != int(response.headers.get("Content-Length", len(payload))):
            raise urllib3.exceptions.ProtocolError("the answer ended early")
        return payload

    return _patiently(uri, once)


def write_object(uri: str, payload: bytes) -> None:
    """Put an object in one piece; readers see the old one until the new one is whole."""
    bucket, key = _address(uri)
    _patiently(uri, lambda: _client().put_object(bucket, key, io.BytesIO(payload), len(payload), part_size=PART_BYTES))


def upload_file(path: str, uri: str) -> None:
    """Put a local file of any size in one piece, without holding it in memory."""
    bucket, key = _address(uri)
    _patiently(uri, lambda: _client().fput_object(bucket, key, path, part_size=PART_BYTES))


def download_file(uri: str, path: str) -> None:
    """Fetch an object of any size; the file appears when it is whole."""
    bucket, key = _address(uri)
    _patiently(uri, lambda: _client().fget_object(bucket, key, path))


def object_exists(uri: str) -> bool:
    """True when the object is there; a store that can't say raises."""

    def once() -> bool:
        try:
            _client().stat_object(*_address(uri))
        except S3Error as error:
            if error.code in MISSING or error.response.status == 404:
                return False
            raise
        return True

    return _patiently(uri, once)


def object_keys(uri: str, *, recursive: bool = True) -> list[str]:
    """Keys below a prefix, relative to it, sorted; without `recursive` the next level only, folders with a slash."""
    bucket, prefix = _address(uri.rstrip("/") + "/")
    found = _patiently(uri, lambda: list(_client().list_objects(bucket, prefix, recursive=recursive)))
    return sorted(item.object_name.removeprefix(prefix) for item in found if item.object_name != prefix)


def remove_objects(uris: list[str]) -> None:
    """Remove objects; one that isn't there is no error."""
    for uri in uris:
        bucket, key = _address(uri)

        def once(bucket: str = bucket, key: str = key) -> None:
            for error in _client().remove_objects(bucket, iter([DeleteObject(key)])):
                raise ServerError(f"could not delete: {error.code}", 500)

        _patiently(uri, once)


def _address(uri: str) -> tuple[str, str]:
    """(bucket, key) of s3://BUCKET/KEY."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise AerieError(f"{uri!r} names no object; write s3://BUCKET/PREFIX")
    return bucket, key


def _client() -> Minio:
    """The process's client; a forked worker gets its own, for connections can't be shared."""
    return _client_of(os.getpid(), os.environ.get("AWS_ENDPOINT_URL", "https://s3.amazonaws.com"))


@cache
def _client_of(process: int, endpoint: str) -> Minio:
    access_key, secret_key = (os.environ.get(f"AWS_{name}", "") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    if not access_key or not secret_key:
        raise AerieError(
            "s3:// storage needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for any store but "
            "AWS's own; set them in the environment"
        )
    address = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        retries=False,  # patience is ours alone: two layers of it would multiply
        maxsize=16,
        cert_reqs="CERT_REQUIRED",
        ca_certs=os.environ.get("AWS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE"),
    )
    return Minio(
        address.netloc,
        access_key=access_key,
        secret_key=secret_key,
        session_token=os.environ.get("AWS_SESSION_TOKEN"),
        secure=address.scheme != "http",
        region=os.environ.get("AWS_REGION", "us-east-1"),
        http_client=pool,
    )


def _patiently(uri: str, operation: Callable[[], Result]) -> Result:
    """The operation's result, repeated while the failure may pass."""
    for pause in _pauses():
        try:
            return operation()
        except (S3Error, MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            if pause is None or not _may_pass(error):
                raise _explained(uri, error) from None
            time.sleep(pause)
    raise AssertionError("the last pause is None")


def _pauses() -> Iterator[float | None]:
    """Seconds to wait after each failed try, doubled each time and spread by chance; None after the last."""
    for number in range(TRIES - 1):
        yield min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) * random.uniform(0.5, 1.0)
    yield None


def _may_pass(error: Exception) -> bool:
    if isinstance(error, S3Error):
        return error.code in BUSY or error.response.status >= 500
    if isinstance(error, ServerError):
        return True
    return isinstance(error, InvalidResponseError | urllib3.exceptions.HTTPError | OSError)


def _explained(uri: str, error: Exception) -> AerieError:
    """What a user can do about it. The store's own words are left out where they may quote a request's headers."""
    endpoint: Any = os.environ.get("AWS_ENDPOINT_URL", "AWS")
    if isinstance(error, S3Error):
        if error.code == "NoSuchBucket":
            return AerieError(f"{uri}: the bucket does not exist at {endpoint}; create it with python -m data.buckets")
        if error.code in DENIED:
            return AerieError(
                f"{uri}: {endpoint} refuses the keys ({error.code}); check AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY and what their user may do in the bucket"
            )
        return AerieError(f"{uri}: {endpoint} answers {error.code}; gave up after {TRIES} tries")
    return AerieError(
        f"{uri}: {endpoint} can't be reached or breaks off ({type(error).__name__}); gave up after {TRIES} tries. "
        "Check AWS_ENDPOINT_URL and the network"
    )
