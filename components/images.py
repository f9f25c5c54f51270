"""The container images that components run in; the local runner ignores them.

A deployment pins each image by digest through an environment variable at compile time, because KFP's cache keys
hold the image string and a moving tag would serve results of older code. Without the variable the reference is the
tag that `containers/` builds on the same machine.
"""

import os
import re

PINNED = re.compile(r"^[\w.\-/:]+@sha256:[0-9a-f]{64}$")


def image(variable: str, local_tag: str) -> str:
    """The reference from the environment, which must be pinned, or the local tag."""
    reference = os.environ.get(variable, "")
    if reference and not PINNED.match(reference):
        from data.errors import AerieError

        raise AerieError(f"{variable}={reference!r} is not pinned; write it as NAME@sha256:<64 hex digits>")
    return reference or local_tag


DATA_IMAGE = image("AERIE_DATA_IMAGE", "localhost/aerie-python-data:0.1.0")
MODEL_IMAGE = image("AERIE_MODEL_IMAGE", "localhost/aerie-python-model:0.1.0")
