"""A trained network as a folder: config.json, safetensors, tokenizer.json and, where it is known, recipe.yaml."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from data.errors import AerieError
from data.files import exists, join, read_bytes
from model.checkpoint_files import CONFIG_FILE, file_hashes, local_copy, read_json, staged
from model.config import ModelSettings
from model.inputs.tokens import ChatTokenizer, parse_tokenizer
from model.tensor_files import MAX_SHARD_BYTES, TensorReader, header_of, open_tensors, write_tensors
from model.vlm import VisionLanguageModel

TOKENIZER_FILE, RECIPE_FILE = "tokenizer.json", "recipe.yaml"
HEAD, EMBEDDING = "language.lm_head.weight", "language.model.embed_tokens.weight"
NAMED = 5  # tensors that an error message lists


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A network in eval mode, on the CPU and in the precision that its files have, with its tokenizer."""

    model: VisionLanguageModel
    tokenizer: ChatTokenizer


def load_checkpoint(folder: str) -> Checkpoint:
    """The network and tokenizer of a checkpoint folder, local or s3://.

    `AerieError` names what is missing, damaged or contradictory.
    """
    with local_copy(folder) as local:
        model, tokenizer = _load_network(local, folder), read_tokenizer(local)
    check_tokenizer(tokenizer, model, folder, "its tokenizer belongs to another checkpoint")
    return Checkpoint(model, tokenizer)


def check_tokenizer(tokenizer: ChatTokenizer, model: VisionLanguageModel, folder: str, advice: str) -> None:
    """`AerieError` unless the network in `folder` has a row for each token and means the same by the image token."""
    if tokenizer.vocab_size > model.vocab_size or tokenizer.image_context_id != model.image_context_id:
        raise AerieError(
            f"the tokenizer has {tokenizer.vocab_size} tokens and image token {tokenizer.image_context_id}, the "
            f"network in {folder} has {model.vocab_size} and {model.image_context_id}: {advice}"
        )


def load_model(folder: str) -> VisionLanguageModel:
    """The network of a checkpoint folder, in eval mode, on the CPU in float32 whatever its files hold."""
    with local_copy(folder) as local:
        return _load_network(local, folder).float()


def load_weights(model: VisionLanguageModel, folder: str) -> None:
    """Fill a network in its own precision; `AerieError` names the folder and the tensors that don't fit."""
    own = model.state_dict()
    with local_copy(folder) as local, open_tensors(local) as reader, torch.no_grad():
        check_tensors(reader, model, folder)
        for name in reader.headers:
            own[name].copy_(reader.load(name))


def save_checkpoint(
    folder: str,
    model: VisionLanguageModel,
    *,
    state: Mapping[str, torch.Tensor] | None = None,
    files: Mapping[str, bytes] | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> dict[str, str]:
    """Write a checkpoint folder, local or s3://; returns the sha256 of each file by name.

    `state` is the network's state where training holds it elsewhere; `files` are further files by name (the tokenizer,
    the recipe). A tied output head is stored once, as the embedding. Tensors keep their precision.
    """
    state = model.state_dict() if state is None else state
    kept = {
        name: value for name, value in state.items() if not (name == HEAD and model.settings.language.tie_embeddings)
    }
    headers = {name: header_of(value) for name, value in kept.items()}
    with staged(folder) as staging:
        write_tensors(staging, headers, kept.__getitem__, max_shard_bytes=max_shard_bytes)
        for name, payload in {**(files or {}), CONFIG_FILE: config_bytes(model)}.items():
            Path(staging, name).write_bytes(payload)
        return file_hashes(staging)


def config_bytes(model: VisionLanguageModel) -> bytes:
    """What rebuilds the empty network, and its parameters by part for whoever reads."""
    document = {
        "parameters": model.parameter_counts(),
        "settings": model.settings.model_dump(mode="json"),
        "vocab_size": model.vocab_size,
        "image_context_id": model.image_context_id,
    }
    return json.dumps(document, indent=1).encode()


def read_tokenizer(folder: str) -> ChatTokenizer:
    """The tokenizer of a checkpoint folder; `AerieError` when it has none or the file is damaged."""
    uri = join(folder, TOKENIZER_FILE)
    if not exists(uri):
        raise AerieError(f"file not found: {uri}; copy the tokenizer.json of the tokenizer step there")
    return ChatTokenizer(parse_tokenizer(read_bytes(uri), uri))


def empty_network(settings: ModelSettings, vocab_size: int, image_context_id: int) -> VisionLanguageModel:
    """A network whose large weights lie on the meta device, without memory, and whose buffers are real."""
    with _EmptyOnMeta():
        return VisionLanguageModel(settings, vocab_size, image_context_id)


def described_network(local: str, folder: str) -> VisionLanguageModel:
    """The empty network of a local folder's config.json; messages call the folder `folder`."""
    uri = join(folder, CONFIG_FILE)
    if not exists(join(local, CONFIG_FILE)):
        raise AerieError(f"file not found: {uri}; a checkpoint folder was expected")
    document = read_json(join(local, CONFIG_FILE))
    try:
        settings = ModelSettings.model_validate(document["settings"])
        model = empty_network(settings, document["vocab_size"], document["image_context_id"])
    except (ValueError, KeyError, TypeError) as error:  # pydantic's error is a ValueError
        raise AerieError(f"{uri} is not a checkpoint's config: {error}") from error
    return model


def weight_shapes(model: VisionLanguageModel) -> dict[str, tuple[int, ...]]:
    """The tensors that a checkpoint of this network holds, by name: its state without a tied output head."""
    tied = model.settings.language.tie_embeddings
    return {name: tuple(value.shape) for name, value in model.state_dict().items() if not (tied and name == HEAD)}


class _EmptyOnMeta(TorchFunctionMode):
    """Layers allocate their weights with `torch.empty`; what they compute (buffers) is left as it is.

    `torch.device("meta")` would lose the buffers too, which no checkpoint holds.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _load_network(local: str, folder: str) -> VisionLanguageModel:
    """The network of local files; it takes the mapped files' tensors as they are, so nothing is held twice."""
    model = described_network(local, folder)
    with open_tensors(local) as reader:
        check_tensors(reader, model, folder)
        model.load_state_dict({name: reader.load(name) for name in reader.headers}, strict=False, assign=True)
    if model.settings.language.tie_embeddings:
        model.language.lm_head.weight = model.language.get_input_embeddings().weight
    return model.eval()


def check_tensors(reader: TensorReader, model: VisionLanguageModel, folder: str) -> None:
    """`AerieError` unless every tensor of the network is there in its shape, and no other."""
    expected, found = weight_shapes(model), {name: header.shape for name, header in reader.headers.items()}
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is unknown" for name in found if name not in expected]
    problems += [
        f"{name} has shape {list(found[name])}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if problems:
        more = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise AerieError(f"weights in {folder} don't fit the network: {'; '.join(problems[:NAMED])}{more}")
