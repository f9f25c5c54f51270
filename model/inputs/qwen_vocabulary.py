"""Qwen2.5's published tokenizer, rebuilt from `qwen.tiktoken`: byte strings and ranks to vocabulary and merges.

The file is public (the PyPI package dashscope carries it) where the model hubs can't be reached.
"""

import base64
import binascii
from itertools import pairwise

from tokenizers import AddedToken, Tokenizer, models

from data.errors import AerieError
from model.inputs.tokens import CHAT_TOKENS, byte_level

# After the 151,643 ordinary tokens, ids 151643 to 151664. The reference adds its 11 behind them, `<IMG_CONTEXT>` first,
# so that it is 151665 on Qwen2.5. The reference config's default, 151667, is its place where InternVL's order puts
# `<img>` and `</img>` first; 151669 is its place on Qwen3, which has four tokens more.
QWEN25_CONTROL_TOKENS: tuple[str, ...] = (
    *CHAT_TOKENS,
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
QWEN25_TEXT_TOKENS: tuple[str, ...] = (
    *("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"),
    *("<|repo_name|>", "<|file_sep|>"),
)


def qwen_tokenizer(payload: bytes, where: str) -> Tokenizer:
    """Qwen2.5's tokenizer from the bytes of a qwen.tiktoken; `AerieError` names the file when it is none.

    Equal to the published tokenizer.json in vocabulary, merges, their order, and special tokens; takes about 3 seconds.
    """
    ranks = _ranks(payload, where)
    letters = _byte_letters()

    def spelled(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    ordered = sorted(ranks, key=ranks.__getitem__)
    pairs = (_halves(token, ranks, where) for token in ordered if len(token) > 1)
    merges = [(spelled(left), spelled(right)) for left, right in pairs]
    tokenizer = byte_level(models.BPE(vocab={spelled(token): rank for token, rank in ranks.items()}, merges=merges))
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in QWEN25_CONTROL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in QWEN25_TEXT_TOKENS])
    return tokenizer


def _ranks(payload: bytes, where: str) -> dict[bytes, int]:
    """Byte string to rank, which is its id."""
    try:
        pairs = [line.split() for line in payload.splitlines() if line]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in pairs}
    except (ValueError, binascii.Error) as error:
        raise AerieError(f"{where} is not a tiktoken file, lines of base64 and rank: {error}") from error
    if len(ranks) != len(pairs) or set(ranks.values()) != set(range(len(ranks))):
        raise AerieError(f"{where}: the ranks of its {len(pairs)} tokens don't count up from 0; fetch the file again")
    if missing := [byte for byte in range(256) if bytes([byte]) not in ranks]:
        raise AerieError(f"{where}: no token for {len(missing)} bytes, the first is {missing[0]}; fetch the file again")
    return ranks


def _halves(token: bytes, ranks: dict[bytes, int], where: str) -> tuple[bytes, bytes]:
    """The two tokens whose merge made `token`: what is left of its bytes after all merges of lower rank."""
    parts = [bytes([byte]) for byte in token]
    limit = ranks[token]
    while len(parts) > 2:
        joined = [ranks.get(left + right, limit) for left, right in pairwise(parts)]
        best = min(joined)
        if best >= limit:
            raise AerieError(f"{where}: no merge leads to token {limit}, {token!r}; fetch the file again")
        place = joined.index(best)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts[0], parts[1]


def _byte_letters() -> dict[int, str]:
    """The printable letter that stands for each byte in a byte-level BPE (GPT-2's table)."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return bytes_to_unicode()
