"""The presets as plain documents: the published geometry of every part, and how a recipe's keys lie over it."""

from typing import Any

Document = dict[str, Any]

# config.json of google/siglip-so400m-patch14-384; its positions are resized to the 1024 patches of a 448 px tile.
SIGLIP_SO400M: Document = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_layers": 27,
    "num_heads": 16,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
    "hidden_act": "gelu_pytorch_tanh",
}

# timm's convnext_xxlarge (clip_laion2b_soup), at the 512 px of the reference's `convnext_512_siglip_448`.
CONVNEXT_XXLARGE: Document = {
    "depths": (3, 4, 30, 3),
    "dims": (384, 768, 1536, 3072),
    "image_size": 512,
    "norm_eps": 1e-5,
}


def _qwen(hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int, rows: int, *, tied: bool) -> Document:
    """What config.json of Qwen/Qwen2.5-*-Instruct says; the last four keys are the same for every size.

    The base model of 32B has rms_norm_eps 1e-5 and 131,072 positions; the paper starts from the Instruct models.
    """
    return {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_layers": layers,
        "num_heads": heads,
        "num_kv_heads": kv_heads,
        "embedding_rows": rows,
        "tie_embeddings": tied,
        "rope_theta": 1_000_000.0,
        "max_positions": 32768,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
    }


QWEN = {
    "0.5b": _qwen(896, 4864, 24, 14, 2, 151_936, tied=True),
    "1.5b": _qwen(1536, 8960, 28, 12, 2, 151_936, tied=True),
    "7b": _qwen(3584, 18944, 28, 28, 4, 152_064, tied=False),
    "32b": _qwen(5120, 27648, 64, 40, 8, 152_064, tied=False),
}


def _eagle(language: str, convnext: Document | None) -> Document:
    """Eagle 2 of one size: 1B and 2B see through SigLIP alone, 9B and 32B through both towers (paper, section 3)."""
    return {
        "tiling": {"tile_size": 448, "max_tiles": 12, "thumbnail": True},
        "siglip": SIGLIP_SO400M,
        "convnext": convnext,
        "language": QWEN[language],
    }


# 1.3 million parameters for a CPU: a four-stage ConvNeXt on a grid of 4 x 4 cells, like SigLIP's after PixelShuffle.
TINY: Document = {
    "tiling": {"tile_size": 64, "max_tiles": 4},
    "siglip": {"hidden_size": 64, "intermediate_size": 192, "num_layers": 2, "num_heads": 4, "patch_size": 8},
    "convnext": {"depths": (2, 2, 2, 2), "dims": (16, 32, 64, 128), "image_size": 128},
    "language": {
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_layers": 3,
        "num_heads": 4,
        "num_kv_heads": 2,
        "rope_theta": 10000.0,
        "max_positions": 4096,
    },
    "tokenizer": {"vocab_size": 1024},
    "initialisation": "fan_in",
}

PRESET_DOCUMENTS: dict[str, Document] = {
    "eagle2-1b": _eagle("0.5b", None),
    "eagle2-2b": _eagle("1.5b", None),
    "eagle2-9b": _eagle("7b", CONVNEXT_XXLARGE),
    "eagle2-32b": _eagle("32b", CONVNEXT_XXLARGE),
    "tiny": TINY,
}


def over_preset(document: Document) -> Document:
    """The preset that `document` names, with the document's own keys over it; single keys of a part may be given.

    A document without a preset stays as it is; so does one with an unknown name, which validation then refuses.
    """
    name = document.get("preset")
    below = PRESET_DOCUMENTS.get(name) if isinstance(name, str) else None
    return document if below is None else _laid_over(below, document)


def _laid_over(below: Document, above: Document) -> Document:
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _laid_over(below[key], above[key])
    return merged
