"""Any model of timm as an image encoder, with weights of one's own or those that timm publishes."""

from pathlib import Path
from typing import Any

from data.curation.picture_encoders import PictureNetwork, Preparation
from data.errors import AerieError

CHECKPOINT = "a checkpoint of the model as .safetensors, .pt or .pth with a state dict"
WRAPPERS = ("state_dict", "model", "model_state_dict")


def published_identity(model: str) -> str:
    """What timm would download for a model: its tag and place, and timm's version."""
    import timm

    entry: Any = _known(model)
    tag = entry.get("hf_hub_id") or entry.get("url")
    if not tag:
        raise AerieError(f"timm publishes no weights of {model!r}; write timm:{model}@FILE")
    return f"timm=={timm.__version__} {model} {tag} {entry.get('tag', '')}"


def timm_encoder(model: str, checkpoint: Path | None, image_size: int | None, batch_size: int) -> PictureNetwork:
    """Pooled features of a timm model; pixels and colours as its configuration has them."""
    import timm

    _known(model)
    network: Any = _published(model) if checkpoint is None else timm.create_model(model, num_classes=0)
    if checkpoint is not None:
        _load(network, model, checkpoint)
    config = timm.data.resolve_data_config({}, model=network)
    mode: Any = "bilinear" if config["interpolation"] == "bilinear" else "bicubic"  # what nearly all models have
    prepare = Preparation(size=image_size or config["input_size"][-1], mode=mode)
    return PictureNetwork(network, prepare, batch_size, mean=config["mean"], std=config["std"], where=f"timm's {model}")


def _known(model: str) -> dict[str, Any]:
    import timm

    if not timm.is_model(model):
        near = timm.list_models(f"*{model.partition('.')[0].partition('_')[0]}*")[:5]
        raise AerieError(f"timm {timm.__version__} has no model {model!r}; models like it: {near}")
    config: Any = timm.get_pretrained_cfg(model)
    return config.to_dict() if config is not None else {}


def _published(model: str) -> Any:
    import timm

    try:
        return timm.create_model(model, pretrained=True, num_classes=0)
    except Exception as error:  # offline, refused, gone: the hub's client has a class for each
        raise AerieError(
            f"timm's published weights of {model!r} can't be fetched ({type(error).__name__}); "
            f"without a way to the hub write timm:{model}@FILE"
        ) from error


def _load(network: Any, model: str, path: Path) -> None:
    """Put a checkpoint into a network without its classifier; every other tensor must find its place."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's unpickler fails in as many ways as a file can be broken
        known = "" if isinstance(error, SafetensorError | RuntimeError) else f" ({type(error).__name__})"
        raise AerieError(f"{path} can't be read{known}; expected {CHECKPOINT}") from error
    for wrapper in WRAPPERS:
        state = state[wrapper] if isinstance(state, dict) and isinstance(state.get(wrapper), dict) else state
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise AerieError(f"{path} holds no state dict of tensors; expected {CHECKPOINT}")
    heads = network.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    own = network.state_dict()
    state = {name: tensor for name, tensor in state.items() if name in own or not name.startswith(heads)}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        wrong = " ".join(str(error).split())[:300]
        raise AerieError(f"{path} does not fit timm's {model}: {wrong}") from error
