"""Sentence encoders in the folder layout of sentence-transformers: all-mpnet-base-v2, all-MiniLM-L6-v2, their kin."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.curation.encoder_parts import finite, normalised, torch_device
from data.errors import AerieError

FOLDER = (
    "a folder as sentence-transformers saves it: config.json, model.safetensors, the tokenizer's files, modules.json"
)
PARTS = {"Transformer", "Pooling", "Normalize"}
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max"}
POOLINGS |= {"pooling_mode_mean_sqrt_len_tokens": "mean"}  # of another length, and lengths become 1
SUFFIXES = (".json", ".txt", ".model", ".safetensors")
Tokens = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a folder's small files say. `network` is the folder of the transformer, `limit` its most tokens."""

    network: Path
    pooling: str = "mean"
    limit: int | None = None
    lower_case: bool = False


def counted_files(names: list[str]) -> list[str]:
    """The files that determine the vectors: not the read-me, nor the same weights in other formats."""
    own = [name for name in names if not name.startswith(("onnx/", "openvino/", "."))]
    suffixes = SUFFIXES if any(name.endswith(".safetensors") for name in own) else (*SUFFIXES, ".bin")
    return [name for name in own if name.endswith(suffixes)]


def read_layout(folder: Path) -> Layout:
    """The layout of a folder; without modules.json a plain transformer with the mean over its tokens."""
    modules = _json(folder / "modules.json") if (folder / "modules.json").is_file() else []
    kinds = {module["type"].rpartition(".")[2]: folder / module["path"] for module in modules}
    if strange := sorted(set(kinds) - PARTS):
        raise AerieError(f"{folder}/modules.json has the parts {strange}; supported are {sorted(PARTS)}")
    network = kinds.get("Transformer", folder)
    if not (network / "config.json").is_file():
        raise AerieError(f"{network} has no config.json; expected {FOLDER}")
    limits = _json(network / "sentence_bert_config.json") if (network / "sentence_bert_config.json").is_file() else {}
    return Layout(
        network=network,
        pooling=_pooling(kinds["Pooling"] / "config.json") if "Pooling" in kinds else "mean",
        limit=limits.get("max_seq_length"),
        lower_case=bool(limits.get("do_lower_case", False)),
    )


def _pooling(path: Path) -> str:
    config = _json(path)
    named = config.get("pooling_mode")
    modes = {named} if isinstance(named, str) else {mode for key, mode in POOLINGS.items() if config.get(key)}
    if len(modes) != 1 or not modes <= set(POOLINGS.values()):
        raise AerieError(f"{path} pools by {sorted(modes)}; supported is one of {sorted(set(POOLINGS.values()))}")
    return modes.pop()


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise AerieError(f"{path} can't be read ({error}); expected {FOLDER}") from error


class SentenceEncoder:
    """A transformer, its pooling over tokens, and length 1. `width` is D.

    Two halves, so that other processes can tokenize what one device encodes.
    """

    def __init__(self, folder: Path, max_tokens: int = 32, batch_size: int = 64) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # loading takes a blink, and the bar would stand among the step's own lines
        layout = read_layout(folder)
        self._device = torch_device()
        dtype = torch.float16 if self._device.type == "cuda" else torch.float32
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(layout.network), local_files_only=True)
            network, told = AutoModel.from_pretrained(
                str(layout.network), local_files_only=True, output_loading_info=True
            )
        except Exception as error:  # broken files fail in as many ways as they have readers
            raise AerieError(f"{layout.network} can't be loaded ({_first_line(error)}); expected {FOLDER}") from error
        if missing := sorted(name for name in told["missing_keys"] if "pooler" not in name):  # a pooler is never asked
            raise AerieError(
                f"{layout.network} lacks the weights {missing[:3]} ({len(missing)} in all); expected {FOLDER}"
            )
        self._network: Any = network.eval().to(self._device, dtype)
        self._layout, self.batch_size = layout, batch_size
        self.max_tokens = min(max_tokens, layout.limit or max_tokens)
        self.width = int(network.config.hidden_size)

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """int64 [B, T] `input_ids` and `attention_mask`, T the longest of the texts, at most `max_tokens`."""
        lowered = [text.lower() for text in texts] if self._layout.lower_case else list(texts)
        found = self._tokenizer(lowered, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        return dict(found)

    def encode(self, tokens: Tokens) -> np.ndarray:
        """float32 [B, D] of length 1."""
        import torch

        with torch.inference_mode():
            moved = {name: tensor.to(self._device) for name, tensor in tokens.items()}
            hidden = self._network(**moved).last_hidden_state.float()  # [B, T, D]
            mask = moved["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            pooled = _pooled(hidden, mask, self._layout.pooling).cpu().numpy()
        return normalised(finite(pooled, str(self._layout.network)))

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [N, D] of length 1; text beyond `max_tokens` tokens is cut."""
        vectors = np.zeros((len(texts), self.width), np.float32)
        by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # little padding in a batch
        for at in range(0, len(texts), self.batch_size):
            chosen = by_length[at : at + self.batch_size]
            vectors[chosen] = self.encode(self.tokenize([texts[index] for index in chosen]))
        return vectors


def _pooled(hidden: Any, mask: Any, pooling: str) -> Any:
    """[B, D] of [B, T, D]; mask [B, T, 1] is 0 at padding."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "max":
        return hidden.masked_fill(mask == 0, float("-inf")).amax(1)
    return (hidden * mask).sum(1) / mask.sum(1)


def _first_line(error: Exception) -> str:
    return next((line.strip()[:200] for line in str(error).splitlines() if line.strip()), type(error).__name__)
