"""The folder that an export writes, and what the Auto classes load from it."""

import pytest
from transformers import AutoModelForImageTextToText, AutoProcessor

from model.hf.export import save_hf


@pytest.fixture(scope="session")
def hf_folder(colour_checkpoint, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("hf"))
    save_hf(colour_checkpoint, folder)
    return folder


@pytest.fixture(scope="session")
def loaded(hf_folder):
    """(network, processor)"""
    return AutoModelForImageTextToText.from_pretrained(hf_folder), AutoProcessor.from_pretrained(hf_folder)
