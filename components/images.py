"""The container images that components run in; the local runner ignores them.

A deployment pins each image by digest through an environment variable at compile time, because KFP's cache keys
hold the image string and a moving tag would serve results of older code. Without the variable the reference is the
tag that `make images` builds on the same machine; a reference to such a tag (localhost/...) needs no digest.
"""

import os
import re

PINNED = re.compile(r"^[\w.\-/:]+@sha256:[0-9a-f]{64}$")
LOCAL = "localhost/"


def image(variable: str, local_tag: str) -> str:
    """The reference from the environment, which must be pinned or of this machine, or the local tag."""
    reference = os.environ.get(variable, "")
    if reference and not PINNED.match(reference) and not reference.startswith(LOCAL):
        from data.errors import AerieError

        raise AerieError(f"{variable}={reference!r} is not pinned; write it as NAME@sha256:<64 hex digits>")
    return reference or local_tag


# The curation steps.
DATA_IMAGE = image("AERIE_DATA_IMAGE", "localhost/aerie-python-data:0.1.0")
# Tokenizer, packing, evaluation and report; on a cluster also the tasks that only launch a stage's TrainJob.
EVAL_IMAGE = image("AERIE_EVAL_IMAGE", "localhost/aerie-python-eval:0.1.0")
# What the nodes of a TrainJob run: torch and DeepSpeed, no kfp.
TRAIN_IMAGE = image("AERIE_TRAIN_IMAGE", "localhost/aerie-python-train:0.1.0")
# The stages' own tasks. Where they train by themselves (KFP's DockerRunner) this must be the train image plus kfp.
STAGE_IMAGE = image("AERIE_STAGE_IMAGE", EVAL_IMAGE)
