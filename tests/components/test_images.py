"""Image references: pinned by digest when given, a local tag otherwise."""

import pytest

from components.images import image
from data.errors import AerieError

PINNED = "registry.example/team/aerie-python@sha256:" + "0123456789abcdef" * 4


def test_the_environment_overrides_with_a_digest(monkeypatch):
    monkeypatch.setenv("SOME_IMAGE", PINNED)
    assert image("SOME_IMAGE", "localhost/python:1") == PINNED


def test_without_the_variable_the_local_tag_stands(monkeypatch):
    monkeypatch.delenv("SOME_IMAGE", raising=False)
    assert image("SOME_IMAGE", "localhost/python:1") == "localhost/python:1"


@pytest.mark.parametrize("moving", ["registry.example/aerie:latest", "aerie@sha256:abc", PINNED + "0"])
def test_a_moving_reference_is_refused(monkeypatch, moving):
    monkeypatch.setenv("SOME_IMAGE", moving)
    with pytest.raises(AerieError, match="SOME_IMAGE"):
        image("SOME_IMAGE", "localhost/python:1")
