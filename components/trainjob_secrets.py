"""Keeps secrets out of what we print and raise."""

import os
import re
from collections.abc import Iterable, Mapping

SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|(API|ACCESS|PRIVATE)_?KEY", re.IGNORECASE)
BEARER = re.compile(r"(Bearer|Basic)\s+[\w.~+/=-]+", re.IGNORECASE)
SHORTEST = 8  # shorter values would blank ordinary words
MASK = "[hidden]"


def secrets_of(environment: Mapping[str, str] = os.environ) -> set[str]:
    """Values of the variables that are secret by their name, for example AWS_SECRET_ACCESS_KEY.

    The launcher's pod has the same ones as the training pods, so their logs can be checked against them.
    """
    return {value for name, value in environment.items() if SECRET_NAME.search(name) and len(value) >= SHORTEST}


def masked(text: str, secrets: Iterable[str]) -> str:
    """Text without the secrets and without anything that looks like an Authorization header."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return BEARER.sub(rf"\1 {MASK}", text)
