"""Starting from published parts: Qwen2.5, SigLIP and ConvNeXt weights into a fresh network, each part strictly."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional as F
from transformers import PretrainedConfig, Qwen2Config, SiglipVisionConfig

from data.errors import AerieError
from data.files import exists, is_s3, join, read_bytes
from data.recipe import beside_recipe
from model.checkpoint import TOKENIZER_FILE, load_weights
from model.checkpoint_files import CONFIG_FILE, local_copy, read_json
from model.config import PretrainedSettings
from model.inputs.tokens import ChatTokenizer, parse_tokenizer
from model.new_tokens import initialise_new_rows_
from model.tensor_files import TensorReader, open_tensors
from model.vlm import VisionLanguageModel

Fit = Callable[[torch.Tensor], torch.Tensor]
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
POSITIONS = "embeddings.position_embedding.weight"
# What published files hold beside the part: SigLIP's text tower and pooling head, classifiers, caches of old versions.
SIGLIP_IGNORED = re.compile(r"text_model\.|logit_(scale|bias)$|head\.|embeddings\.position_ids$")
CONVNEXT_IGNORED = re.compile(r"head\.|norm_pre\.")
LANGUAGE_IGNORED = re.compile(r".*rotary_emb\.inv_freq$")
# Equal shapes hide these: another number of heads, another epsilon or rotary base loads and computes nonsense.
COMMON_FIELDS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "hidden_act")
SIGLIP_FIELDS = (*COMMON_FIELDS, "patch_size", "layer_norm_eps")
LANGUAGE_FIELDS = (
    *(*COMMON_FIELDS, "num_key_value_heads", "rms_norm_eps", "rope_parameters"),
    *("tie_word_embeddings", "use_sliding_window"),
)
NAMED = 5  # tensors that an error message lists


def load_pretrained(
    model: VisionLanguageModel, settings: PretrainedSettings, tokenizer: ChatTokenizer, recipe_uri: str
) -> list[str]:
    """Fill the parts that the recipe names, in the network's own precision; returns a line for the log on each.

    `AerieError` names the file and the key when a tensor is missing, unknown or of another shape, when the geometry is
    not the recipe's, or when the files belong to another tokenizer.
    """
    uris = {name: beside_recipe(path, recipe_uri) for name, path in settings.model_dump(exclude_none=True).items()}
    lines = []
    if uri := uris.get("checkpoint"):
        _check_tokenizer(uri, tokenizer)
        load_weights(model, uri)
        lines.append(f"all parts start from {uri}")
    if uri := uris.get("siglip"):
        lines.append(_load_siglip(model, uri))
    if uri := uris.get("convnext"):
        lines.append(_load_convnext(model, uri))
    if uri := uris.get("language"):
        lines.append(_load_language(model, uri, tokenizer))
    return lines


def resized_positions(table: torch.Tensor, side: int) -> torch.Tensor:
    """SigLIP's position table [n * n, C] for a grid of side x side: bicubic, as its own interpolation.

    The published so400m has 27 x 27 positions at 384 pixels; tiles of 448 pixels have 32 x 32 patches.
    """
    old = round(len(table) ** 0.5)
    grid = table.float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    return grid.permute(0, 2, 3, 1).reshape(side * side, -1)


def _load_siglip(model: VisionLanguageModel, uri: str) -> str:
    tower = model.vision.siglip
    targets = {name.removeprefix("vision_model."): value for name, value in tower.vision_model.state_dict().items()}
    with _opened(uri) as (reader, config):
        config = config.get("vision_config", config)
        _check_geometry(uri, SiglipVisionConfig.from_dict(config), tower.vision_model.config, SIGLIP_FIELDS)
        named = {name.removeprefix("vision_model."): name for name in reader.headers}
        count = reader.headers[named[POSITIONS]].shape[0] if POSITIONS in named else 0
        resize = count not in (0, tower.side**2)
        fits: dict[str, Fit] = {POSITIONS: lambda table: resized_positions(table, tower.side)} if resize else {}
        loaded = _fill(targets, reader, named, uri, ignored=SIGLIP_IGNORED, fits=fits)
    old = round(count**0.5)
    note = f"; positions {old} x {old} resized to {tower.side} x {tower.side} (bicubic)" if resize else ""
    return f"siglip starts from {uri}: {loaded} tensors{note}"


def _load_convnext(model: VisionLanguageModel, uri: str) -> str:
    assert model.vision.convnext is not None  # the settings were checked
    with _opened(uri) as (reader, _):
        named = {name: name for name in reader.headers}
        targets = model.vision.convnext.trunk.state_dict()
        loaded = _fill(targets, reader, named, uri, ignored=CONVNEXT_IGNORED)
    return f"convnext starts from {uri}: {loaded} tensors"


def _load_language(model: VisionLanguageModel, uri: str, tokenizer: ChatTokenizer) -> str:
    """Tokens of the file take their rows, the 11 new ones the mean of these, in the input and the output table."""
    language, new = model.language, tokenizer.new_token_ids
    targets = dict(language.state_dict())
    tied = model.settings.language.tie_embeddings
    if tied:
        del targets[HEAD]
    ignored = re.compile(f"{LANGUAGE_IGNORED.pattern}|{re.escape(HEAD)}$") if tied else LANGUAGE_IGNORED
    old_tokens = 1 + max(set(range(tokenizer.vocab_size)) - set(new))

    def shared_rows(name: str) -> Fit:
        def fit(table: torch.Tensor) -> torch.Tensor:
            if len(table) < old_tokens:
                raise AerieError(
                    f"{uri}: {name} has {len(table)} rows, the tokenizer {old_tokens} tokens before our new"
                )
            target = targets[name]
            return torch.cat([table[: len(target)], target[len(table) :].to(table.dtype)])

        return fit

    _check_tokenizer(uri, tokenizer)
    with _opened(uri) as (reader, config):
        if config.get("model_type") != "qwen2":
            raise AerieError(f"{join(uri, CONFIG_FILE)}: model_type is {config.get('model_type')!r}, expected 'qwen2'")
        _check_geometry(uri, Qwen2Config.from_dict(config), language.config, LANGUAGE_FIELDS)
        named = {name: name for name in reader.headers}
        fits = {name: shared_rows(name) for name in (EMBEDDING, HEAD) if name in targets}
        loaded = _fill(targets, reader, named, uri, ignored=ignored, fits=fits)
    initialise_new_rows_(language, new, tokenizer.vocab_size)
    where = "the tied table" if tied else "input and output tables"
    return f"language starts from {uri}: {loaded} tensors; {len(new)} new tokens at the mean of the others in {where}"


@contextmanager
def _opened(uri: str) -> Iterator[tuple[TensorReader, dict[str, Any]]]:
    """The tensors of a folder, or of one local file, and the folder's config (empty for a file)."""
    if uri.endswith(".safetensors") and not is_s3(uri):
        if not exists(uri):
            raise AerieError(f"file not found: {uri}; model.pretrained names folders or a .safetensors file")
        with open_tensors(uri) as reader:
            yield reader, {}
        return
    with local_copy(uri) as local, open_tensors(local) as reader:
        path = join(local, CONFIG_FILE)
        yield reader, read_json(path) if exists(path) else {}


def _fill(
    targets: Mapping[str, torch.Tensor],
    reader: TensorReader,
    named: Mapping[str, str],
    uri: str,
    *,
    ignored: re.Pattern[str],
    fits: Mapping[str, Fit] | None = None,
) -> int:
    """Copy every tensor to its target; `named` gives the file's names by ours, `fits` reshapes single tensors."""
    fits = fits or {}
    used = {name: source for name, source in named.items() if name in targets}
    problems = [f"{name} is missing" for name in targets if name not in used]
    problems += [
        f"{source} is unknown" for name, source in named.items() if name not in used and not ignored.match(name)
    ]
    problems += [
        f"{source} has shape {list(reader.headers[source].shape)}, expected {list(targets[name].shape)}"
        for name, source in used.items()
        if name not in fits and reader.headers[source].shape != tuple(targets[name].shape)
    ]
    if problems:
        more = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise AerieError(f"{uri} doesn't fit the recipe's network: {'; '.join(problems[:NAMED])}{more}")
    with torch.no_grad():
        for name, source in used.items():
            tensor = reader.load(source)
            targets[name].copy_(fits[name](tensor) if name in fits else tensor)
    return len(used)


def _check_geometry(uri: str, theirs: PretrainedConfig, ours: PretrainedConfig, fields: tuple[str, ...]) -> None:
    for field in fields:
        there, here = getattr(theirs, field), getattr(ours, field)
        if there != here:
            raise AerieError(f"{join(uri, CONFIG_FILE)}: {field} is {there}, the recipe's model part says {here}")


def _check_tokenizer(uri: str, tokenizer: ChatTokenizer) -> None:
    """A network's rows belong to the tokens that it was trained with: each must have its id in the run's tokenizer."""
    path = join(uri, TOKENIZER_FILE)
    if not exists(path):
        return
    theirs, ours = parse_tokenizer(read_bytes(path), path).get_vocab(), tokenizer.vocabulary()
    if wrong := sorted(token for token, number in theirs.items() if ours.get(token) != number):
        raise AerieError(
            f"{path}: {len(wrong)} of its tokens have another id in the run's tokenizer, the first is {wrong[0]!r}; "
            "name this file as model.tokenizer.path"
        )
