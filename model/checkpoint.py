"""A trained network as two files: safetensors weights and the settings that rebuild it."""

import json
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from data.errors import AerieError
from data.files import join, read_bytes, write_bytes
from model.config import ModelSettings
from model.vlm import VisionLanguageModel

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"


def weights_bytes(model: VisionLanguageModel, state: dict[str, torch.Tensor] | None = None) -> bytes:
    """The weights as safetensors; a tied output head is stored once, as the embedding."""
    state = model.state_dict() if state is None else state
    tied = model.settings.language.tie_embeddings
    kept = {name: value for name, value in state.items() if not (tied and name == "language.lm_head.weight")}
    return save_tensors({name: value.detach().cpu().contiguous() for name, value in kept.items()})


def config_bytes(model: VisionLanguageModel) -> bytes:
    """What rebuilds the empty network, and its parameters by part for whoever reads."""
    document = {
        "parameters": model.parameter_counts(),
        "settings": model.settings.model_dump(mode="json"),
        "vocab_size": model.vocab_size,
        "image_context_id": model.image_context_id,
    }
    return json.dumps(document, indent=1).encode()


def save_weights(folder: str, model: VisionLanguageModel) -> list[str]:
    """Write both files; returns their names."""
    write_bytes(join(folder, CONFIG_FILE), config_bytes(model))
    write_bytes(join(folder, WEIGHTS_FILE), weights_bytes(model))
    return [WEIGHTS_FILE, CONFIG_FILE]


def load_weights(model: VisionLanguageModel, folder: str) -> None:
    """Fill a network; `AerieError` names the file and the keys or shapes that don't fit."""
    uri = join(folder, WEIGHTS_FILE)
    try:
        state: dict[str, Any] = load_tensors(read_bytes(uri))
        if model.settings.language.tie_embeddings:
            state["language.lm_head.weight"] = state["language.model.embed_tokens.weight"]
        model.load_state_dict(state)
    except AerieError:
        raise
    except Exception as error:  # safetensors, KeyError and load_state_dict's RuntimeError alike: the file doesn't fit
        raise AerieError(f"weights {uri} don't fit the recipe's network: {error}") from error


def load_model(folder: str) -> VisionLanguageModel:
    """The network of a checkpoint folder, on CPU, in eval mode."""
    uri = join(folder, CONFIG_FILE)
    try:
        document = json.loads(read_bytes(uri))
        settings = ModelSettings.model_validate(document["settings"])
        model = VisionLanguageModel(settings, document["vocab_size"], document["image_context_id"])
    except (ValueError, KeyError, ValidationError) as error:
        raise AerieError(f"{uri} is not a checkpoint's config: {error}") from error
    load_weights(model, folder)
    return model.eval()
