"""A tiny network with the real parts, and packs for it."""

import numpy as np
import pytest

from model.config import ModelSettings
from model.inputs.batch import IGNORE_INDEX, EncodedSample
from model.vlm import build_model

IMAGE_ID, VOCABULARY, SIDE = 90, 96, 64


@pytest.fixture(scope="session")
def tiny_settings():
    return ModelSettings(
        tiling={"tile_size": SIDE, "max_tiles": 2},
        siglip={"hidden_size": 16, "intermediate_size": 32, "num_layers": 1, "num_heads": 2, "patch_size": 8},
        convnext={"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 24), "image_size": 128},
        language={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_layers": 2,
            "num_heads": 4,
            "num_kv_heads": 2,
            "max_positions": 512,
        },
        initialisation="fan_in",
    )


@pytest.fixture
def tiny_model(tiny_settings):
    return build_model(tiny_settings, VOCABULARY, IMAGE_ID, seed=3)


@pytest.fixture
def encoded(tiny_settings):
    """A maker of encoded samples: (tokens of text, tiles, seed) -> EncodedSample with answers in its last third."""

    def make(text_tokens: int, tiles: int, seed: int = 0) -> EncodedSample:
        rng = np.random.default_rng(seed)
        image = np.full(tiles * tiny_settings.tokens_per_tile, IMAGE_ID)
        text = rng.integers(0, IMAGE_ID, text_tokens)
        ids = np.concatenate([text[:3], image, text[3:]]).astype(np.int64)
        labels = np.where(np.arange(len(ids)) >= len(ids) - text_tokens // 3, ids, IGNORE_INDEX)
        return EncodedSample(
            sample_id=f"s{seed}",
            source="made",
            category="general_vqa" if tiles else "text_only",
            input_ids=ids,
            labels=labels,
            tiles=rng.integers(0, 256, (tiles, SIDE, SIDE, 3), dtype=np.uint8),
        )

    return make
