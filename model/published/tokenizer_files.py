"""The tokenizer of a published folder, with tokenizer.json or as the older pair of vocab.json and merges.txt."""

import json
from pathlib import Path
from typing import Any

from transformers import Qwen2Tokenizer

from data.errors import AerieError
from model.checkpoint_files import read_json
from model.config import ModelSettings
from model.inputs.tokens import END_OF_TEXT, TURN_END, ChatTokenizer, parse_tokenizer
from model.published.prompts import CHAT_TEMPLATE_FILE, TOKENIZER_CONFIG_FILE, chat_template

SLOW_FILES = ("vocab.json", "merges.txt")
QWEN2_CLASSES = ("Qwen2Tokenizer", "Qwen2TokenizerFast")


def read_published_tokenizer(folder: str) -> bytes:
    """A tokenizer.json's content; the published folders have none, so it is built from vocab.json and merges.txt.

    `AerieError` when files are missing, damaged, or lack a token that conversations need.
    """
    path = Path(folder, "tokenizer.json")
    payload = path.read_bytes() if path.is_file() else _from_slow_files(folder)
    ChatTokenizer(parse_tokenizer(payload, str(path)))
    return payload


def tokenizer_files(tokenizer_json: bytes, tokenizer: ChatTokenizer, settings: ModelSettings) -> dict[str, bytes]:
    """The tokenizer's files as published, and tokenizer.json; the chat template carries the system prompt."""
    document = json.loads(tokenizer_json)
    added = {entry["id"]: entry for entry in document["added_tokens"]}
    names = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    special = [entry["content"] for _, entry in sorted(added.items()) if entry["special"]]
    roles = {"eos_token": TURN_END, "pad_token": END_OF_TEXT}
    config = {
        "add_prefix_space": False,
        "added_tokens_decoder": {str(i): {name: added[i][name] for name in names} for i in sorted(added)},
        "additional_special_tokens": [token for token in special if token not in roles.values()],
        "bos_token": None,
        "chat_template": chat_template(settings.system_prompt),
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "model_max_length": settings.language.max_positions,
        "split_special_tokens": False,
        "tokenizer_class": QWEN2_CLASSES[0],
        "unk_token": None,
        **roles,
    }
    model = document["model"]
    ordinary = {token: number for token, number in model["vocab"].items() if number not in added}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    generation = {
        "_from_model_config": True,
        "eos_token_id": tokenizer.token_id(TURN_END),
        "pad_token_id": tokenizer.token_id(END_OF_TEXT),
    }
    return {
        "added_tokens.json": _json({entry["content"]: i for i, entry in added.items()}),
        "generation_config.json": _json(generation),
        "merges.txt": "\n".join(["#version: 0.2", *merges, ""]).encode(),
        "special_tokens_map.json": _json({"additional_special_tokens": config["additional_special_tokens"], **roles}),
        "tokenizer.json": tokenizer_json,
        TOKENIZER_CONFIG_FILE: _json(config),
        "vocab.json": json.dumps(ordinary, ensure_ascii=False).encode(),
    }


def chat_template_file(settings: ModelSettings) -> dict[str, bytes]:
    """chat_template.json, which the processor of the eagle2_5 layout reads."""
    return {CHAT_TEMPLATE_FILE: _json({"chat_template": chat_template(settings.system_prompt)})}


def _from_slow_files(folder: str) -> bytes:
    missing = [name for name in (*SLOW_FILES, TOKENIZER_CONFIG_FILE) if not Path(folder, name).is_file()]
    if missing:
        raise AerieError(f"{folder} has no tokenizer: neither tokenizer.json nor {', '.join(missing)}")
    config = read_json(str(Path(folder, TOKENIZER_CONFIG_FILE)))
    if config.get("tokenizer_class") not in QWEN2_CLASSES:
        raise AerieError(
            f"{folder}/{TOKENIZER_CONFIG_FILE}: tokenizer_class is {config.get('tokenizer_class')!r}, "
            f"{' or '.join(QWEN2_CLASSES)} was expected"
        )
    try:
        tokenizer: Any = Qwen2Tokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # JSON, BPE and library errors alike: the files are no tokenizer
        raise AerieError(f"{folder}: {' and '.join(SLOW_FILES)} are not a Qwen2 tokenizer: {error}") from error
    text: str = tokenizer.backend_tokenizer.to_str()
    return text.encode()


def _json(document: Any) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode()
