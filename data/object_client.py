"""How this process reaches the object store: endpoint, keys, patience, and words for what went wrong.

Two things are repeated. A single request, by urllib3, while the store is busy, slow or gone. And, here, a whole
operation whose pieces no longer fit together: a body that broke off, an upload that the store has forgotten.
"""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from minio import Minio
from minio.credentials import AWSConfigProvider, ChainedProvider, Credentials, IamAwsProvider, Provider
from minio.error import InvalidResponseError, MinioException, S3Error

from data.errors import AerieError

Result = TypeVar("Result")
AWS_ENDPOINT = "https://s3.amazonaws.com"
NO_KEYS = (
    "s3:// storage needs keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_ENDPOINT_URL for any store but "
    "AWS's own), or give the pod a role"
)
DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
MISSING = {"NoSuchKey", "NoSuchObject", "NoSuchVersion"}
BUSY_STATUS = (408, 429, 500, 502, 503, 504)
# What a store says of an upload that reached it in part, or that it completed before its answer was lost.
BROKEN_OFF = {"IncompleteBody", "RequestTimeout", "BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest"}
BROKEN_OFF |= {"NoSuchUpload", "InvalidPart"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a busy store is waited for. All times in seconds; a pause doubles each time, up to `longest_pause`."""

    connect: float = 5.0
    read: float = 60.0  # a store that says nothing for so long is asked again
    requests: int = 10  # tries of one request; their pauses take about a minute
    operations: int = 4  # tries of an operation that broke off
    first_pause: float = 0.2
    longest_pause: float = 15.0

    def retries(self) -> urllib3.Retry:
        """The same for a single request. All requests are safe to repeat: they put, read or delete whole things."""
        return urllib3.Retry(
            self.requests - 1,
            allowed_methods=None,
            status_forcelist=BUSY_STATUS,
            raise_on_status=False,
            redirect=False,
            backoff_factor=self.first_pause,
            backoff_jitter=self.first_pause,
            backoff_max=self.longest_pause,
            respect_retry_after_header=False,  # a store may ask for hours
        )


PATIENCE = Patience()


def client() -> Minio:
    """This process's client; a forked worker makes its own, for connections can't be shared."""
    return _client(os.getpid(), os.environ.get("AWS_ENDPOINT_URL") or AWS_ENDPOINT, PATIENCE)


@cache
def _client(process: int, endpoint: str, patience: Patience) -> Minio:
    address = urlsplit(endpoint if "//" in endpoint else f"https://{endpoint}")
    if address.scheme not in {"http", "https"} or not address.hostname or address.username or address.path.strip("/"):
        raise AerieError("AWS_ENDPOINT_URL must look like https://HOST or http://HOST:PORT, without user or path")
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=patience.connect, read=patience.read),
        retries=patience.retries(),
        maxsize=16,
        cert_reqs="CERT_REQUIRED",
        ca_certs=os.environ.get("AWS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or certifi.where(),
    )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint != AWS_ENDPOINT:
        region = region or "us-east-1"  # stores of one's own have no regions; AWS is asked for a bucket's
    secure = address.scheme == "https"
    return Minio(address.netloc, secure=secure, region=region, credentials=_Keys(), http_client=pool)


class _Keys(Provider):
    """Keys from the environment, else from AWS's credentials file or the pod's role."""

    def __init__(self) -> None:
        role = IamAwsProvider(http_client=urllib3.PoolManager(timeout=2.0, retries=urllib3.Retry(1)))
        self._elsewhere = ChainedProvider([AWSConfigProvider(), role])

    def retrieve(self) -> Credentials:
        """The keys of now; asked for with every request, since a role's keys expire."""
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        access_key, secret_key = (os.environ.get(name, "") for name in names)
        if access_key and secret_key:
            return Credentials(access_key, secret_key, session_token=os.environ.get("AWS_SESSION_TOKEN"))
        try:
            return self._elsewhere.retrieve()
        except (ValueError, OSError, KeyError, urllib3.exceptions.HTTPError):
            raise AerieError(NO_KEYS) from None


def patiently(uri: str, operation: Callable[[], Result]) -> Result:
    """The operation's result, tried again when it broke off; raises `AerieError` that names the object."""
    for tries_left in reversed(range(PATIENCE.operations)):
        try:
            return operation()
        except (MinioException, urllib3.exceptions.HTTPError, ParseError, ValueError) as error:  # the last two: not XML
            if not tries_left or not _broke_off(error):
                raise _explained(uri, error) from None
            time.sleep(PATIENCE.first_pause * random.uniform(1, 2))
    raise AssertionError("the last try returns or raises")


def _broke_off(error: Exception) -> bool:
    """True when the answer was cut or makes no sense; whatever urllib3 has repeated by itself was tried long enough."""
    if isinstance(error, S3Error):
        return error.code in BROKEN_OFF
    return not isinstance(error, urllib3.exceptions.MaxRetryError) and _status(error) not in BUSY_STATUS


def _explained(uri: str, error: Exception) -> AerieError:
    """What a user can do about it. The store's own words are left out: some quote a request's headers."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or AWS_ENDPOINT
    code = error.code if isinstance(error, S3Error) else _status(error)
    if code == "NoSuchBucket":
        return AerieError(f"{uri}: the bucket does not exist at {endpoint}; create it with python -m data.buckets")
    if code in MISSING:
        return AerieError(f"file not found: {uri}")
    if code in DENIED:
        return AerieError(
            f"{uri}: {endpoint} refuses the keys ({code}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what "
            "their user may do in this bucket (read, write, list, delete)"
        )
    if _status(error) in BUSY_STATUS:
        return AerieError(
            f"{uri}: {endpoint} answers {code}, {PATIENCE.requests} times in a row; see what is wrong with the store, "
            "then run the step again"
        )
    if isinstance(error, S3Error):
        return AerieError(f"{uri}: {endpoint} refuses the request ({code}); check AWS_REGION, the bucket and the clock")
    reason = type(getattr(error, "reason", None) or error).__name__
    return AerieError(
        f"{uri}: {endpoint} can't be reached or breaks off ({reason}), time after time; check AWS_ENDPOINT_URL and the "
        "network, then run the step again"
    )


def _status(error: Exception) -> int | None:
    """The HTTP status that an error carries."""
    if isinstance(error, S3Error):
        return error.response.status
    return error._code if isinstance(error, InvalidResponseError) else getattr(error, "status_code", None)
