"""The two layouts behind one face, so that import and export don't ask which one it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from data.errors import AerieError
from model.config import ModelSettings
from model.inputs.tokens import ChatTokenizer
from model.published import eagle2, eagle2_5
from model.published.parts import Exported, NetworkShape
from model.published.prompts import named_prompt, refuse_prompt, template_prompt
from model.published.tokenizer_files import chat_template_file, tokenizer_files
from model.tensor_files import TensorHeader

MODEL_TYPES = {eagle2.MODEL_TYPE: eagle2.NAME, eagle2_5.MODEL_TYPE: eagle2_5.NAME}
# A published folder's small files that an import keeps, to be written back as they were.
SMALL_FILES = (
    "added_tokens.json",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFolder:
    """A published checkpoint's small parts, read from a local folder."""

    folder: str
    where: str  # its config.json as the user named it
    document: dict[str, Any]
    headers: Mapping[str, TensorHeader]
    tokenizer: ChatTokenizer


def layout_of(document: dict[str, Any], where: str) -> str:
    """The layout that a config.json belongs to, by its `model_type`."""
    if "settings" in document:
        raise AerieError(f"{where} is a checkpoint of Aerie's own; export it, or load it as it is")
    model_type = document.get("model_type")
    if model_type not in MODEL_TYPES:
        known = ", ".join(f"{name} ({layout})" for name, layout in MODEL_TYPES.items())
        raise AerieError(f"{where}: unknown model_type {model_type!r}; known are {known}")
    return MODEL_TYPES[model_type]


def read_config(layout: str, published: PublishedFolder) -> NetworkShape:
    """The network that a published folder describes; `AerieError` names what is missing or can't be computed."""
    document, where = published.document, published.where
    try:
        if layout == eagle2.NAME:
            return eagle2.read(document, where, named_prompt(document, where), published.headers)
        eagle2_5.check_tokens(document, where, published.tokenizer)
        return eagle2_5.read(document, where, template_prompt(published.folder, document, where))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors())
        raise AerieError(f"{where} describes no network of ours: {problems}") from error


def write_config(layout: str, exported: Exported) -> dict[str, Any]:
    """The published config of a network; `AerieError` says what the layout can't hold."""
    if layout == eagle2.NAME:
        refuse_prompt(exported.settings, layout)
        return eagle2.write(exported)
    return eagle2_5.write(exported)


def default_towers(layout: str, settings: ModelSettings) -> tuple[str, ...]:
    """The towers' order that `write_config` writes."""
    return ("siglip", "convnext") if layout == eagle2.NAME and settings.convnext is not None else ()


def small_files(layout: str, tokenizer_json: bytes, exported: Exported) -> dict[str, bytes]:
    """The tokenizer and processor files; no processor file is known of the eagle2 layout, whose demo.py tiles."""
    files = tokenizer_files(tokenizer_json, exported.tokenizer, exported.settings)
    if layout == eagle2_5.NAME:
        files |= chat_template_file(exported.settings)
        files |= eagle2_5.processor_files(exported.settings)
    return files
