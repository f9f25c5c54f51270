"""Makes the bucket of a storage URI ready, or checks it: python -m data.buckets [--check] [s3://BUCKET/PREFIX]

The bucket is created when it isn't there. Versioning makes an overwrite or a deletion by mistake undoable for
NONCURRENT_DAYS; lifecycle rules remove what only costs space. No rule of ours ever deletes a current object: runs,
checkpoints and recipes stay until somebody deletes them. Repeating it changes nothing, and rules that others made
are kept. Endpoint and keys come from the AWS_* variables.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from minio import Minio
from minio.commonconfig import ENABLED, Filter
from minio.error import S3Error
from minio.lifecycleconfig import (
    AbortIncompleteMultipartUpload,
    Expiration,
    LifecycleConfig,
    NoncurrentVersionExpiration,
    Rule,
)
from minio.versioningconfig import VersioningConfig
from minio.xml import marshal

from data.errors import AerieError
from data.object_client import client, patiently

STORAGE_VARIABLE = "AERIE_STORAGE_URI"
NONCURRENT_DAYS = 7  # training replaces its checkpoints, and each replaced one takes space that long
UPLOAD_DAYS = 3  # longer than any upload of ours takes
EXISTS = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketState:
    """A bucket as it is.

    `rules` are ids of our lifecycle rules that are missing or differ, `deleting` ids of rules that delete current
    objects.
    """

    exists: bool
    versioned: bool
    rules: tuple[str, ...]
    deleting: tuple[str, ...]

    def lacking(self) -> list[str]:
        """What `make_ready` would change, in words; empty when there is nothing."""
        if not self.exists:
            return ["there is no such bucket"]
        versioning = [] if self.versioned else ["versioning is off"]
        return versioning + [f"lifecycle rule {rule} is missing or differs" for rule in self.rules]


def our_rules() -> list[Rule]:
    """The lifecycle rules, each for the whole bucket."""
    everything = Filter(prefix="")
    markers = Expiration(expired_object_delete_marker=True)
    noncurrent = NoncurrentVersionExpiration(noncurrent_days=NONCURRENT_DAYS)
    uploads = AbortIncompleteMultipartUpload(UPLOAD_DAYS)
    return [
        # What a deletion leaves behind; without older versions it only slows listings down.
        Rule(ENABLED, everything, "aerie-markers", expiration=markers),
        Rule(ENABLED, everything, "aerie-noncurrent", noncurrent_version_expiration=noncurrent),
        # Parts of a killed step's upload, which no listing shows.
        Rule(ENABLED, everything, "aerie-uploads", abort_incomplete_multipart_upload=uploads),
    ]


def look(uri: str) -> BucketState:
    """The state of the bucket that a URI names."""
    bucket, ours = bucket_of(uri), our_rules()
    if not patiently(uri, lambda: client().bucket_exists(bucket)):
        return BucketState(exists=False, versioned=False, rules=_ids(ours), deleting=())
    there = _rules_there(uri, bucket)
    by_id = {rule.rule_id: _text(rule) for rule in there}
    return BucketState(
        exists=True,
        versioned=patiently(uri, lambda: client().get_bucket_versioning(bucket)).status == ENABLED,
        rules=_ids([rule for rule in ours if by_id.get(rule.rule_id) != _text(rule)]),
        deleting=_ids([rule for rule in there if _deletes_current(rule)]),
    )


def make_ready(uri: str) -> list[str]:
    """Create and configure the bucket; returns what was changed, in words."""
    bucket, changed = bucket_of(uri), []
    state = look(uri)
    if not state.exists:
        patiently(uri, lambda: _create(client(), bucket))
        changed.append("created")
        state = look(uri)
    if not state.versioned:
        patiently(uri, lambda: client().set_bucket_versioning(bucket, VersioningConfig(ENABLED)))
        changed.append("versioning switched on")
    if state.rules:
        ours = our_rules()
        others = [rule for rule in _rules_there(uri, bucket) if rule.rule_id not in _ids(ours)]
        config = LifecycleConfig([*others, *ours])
        patiently(uri, lambda: client().set_bucket_lifecycle(bucket, config))
        changed.append(f"lifecycle rules set: {', '.join(state.rules)}")
    return changed


def check_others(uri: str) -> None:
    """`AerieError` when somebody else's rule would delete a run's data some day."""
    if deleting := look(uri).deleting:
        raise AerieError(
            f"{uri}: lifecycle rule {deleting[0]!r} of bucket {bucket_of(uri)} deletes current objects after a time, "
            "so a run's data would vanish; remove that rule, or give Aerie a bucket of its own"
        )


def bucket_of(uri: str) -> str:
    """The bucket of s3://BUCKET or s3://BUCKET/PREFIX; `AerieError` for anything else."""
    bucket = uri.removeprefix("s3://").partition("/")[0]
    if not uri.startswith("s3://") or not bucket:
        raise AerieError(f"{uri!r} names no bucket; give s3://BUCKET/PREFIX, or set it in {STORAGE_VARIABLE}")
    return bucket


def _create(s3: Minio, bucket: str) -> None:
    """Create the bucket; a repeated request whose first answer got lost finds it there."""
    try:
        s3.make_bucket(bucket)
    except S3Error as error:
        if error.code not in EXISTS:
            raise


def _rules_there(uri: str, bucket: str) -> list[Rule]:
    config = patiently(uri, lambda: client().get_bucket_lifecycle(bucket))
    return list(config.rules) if config else []


def _deletes_current(rule: Rule) -> bool:
    expiration = rule.expiration if rule.status == ENABLED else None
    return expiration is not None and (expiration.days is not None or expiration.date is not None)


def _ids(rules: Sequence[Rule]) -> tuple[str, ...]:
    return tuple(str(rule.rule_id) for rule in rules)


def _text(rule: Rule) -> bytes:
    """A rule in canonical form: equal rules give equal text."""
    return marshal(LifecycleConfig([rule]))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 when the bucket is ready, 1 when --check finds something lacking, 2 on a mistake."""
    parser = argparse.ArgumentParser(prog="python -m data.buckets", description="Make the bucket of a storage ready.")
    parser.add_argument("uri", nargs="?", default=os.environ.get(STORAGE_VARIABLE, ""), help="s3://BUCKET/PREFIX")
    parser.add_argument("--check", action="store_true", help="change nothing, say what is lacking")
    options = parser.parse_args(arguments)
    try:
        lines = look(options.uri).lacking() if options.check else make_ready(options.uri)
        check_others(options.uri)
    except AerieError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    for line in lines or ["ready"]:
        print(f"bucket {bucket_of(options.uri)}: {line}")
    return int(options.check and bool(lines))


if __name__ == "__main__":
    sys.exit(main())
