"""Text to tokens: a byte-level BPE as Qwen2's, trained on the run's own text or published, safe against injection."""

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from data.errors import AerieError
from data.storage import read_attachment, read_manifest

IMAGE_CONTEXT, IMAGE_START, IMAGE_END = "<IMG_CONTEXT>", "<img>", "</img>"
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TOKENS: tuple[str, ...] = (END_OF_TEXT, TURN_START, TURN_END)
MARKUP_TOKENS: tuple[str, ...] = (
    "<box>",
    "</box>",
    "<quad>",
    "</quad>",
    "<ref>",
    "</ref>",
    "<interval>",
    "</interval>",
)
SPECIAL_TOKENS: tuple[str, ...] = (IMAGE_CONTEXT, IMAGE_START, IMAGE_END, *MARKUP_TOKENS)
# How Qwen2 cuts text before the BPE: contractions, words with one leading sign, single digits, signs, line ends, space.
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
MARKUP = re.compile("(" + "|".join(map(re.escape, MARKUP_TOKENS)) + ")")
CACHED_TEXTS = 1 << 16


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A byte-level BPE of at most `vocab_size` tokens in all, special tokens last and always in the same order.

    Equal texts in any order give an equal tokenizer. Every byte is a token, so no text is unknown.
    """
    tokenizer = byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(CHAT_TOKENS) - len(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return with_special_tokens(tokenizer)


def byte_level(model: models.BPE) -> Tokenizer:
    """A tokenizer around a BPE that reads text as Qwen2's does: NFC, Qwen2's words, bytes."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def with_special_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with the chat tokens and the 11 of Eagle 2; those it has already keep their ids."""
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in (*CHAT_TOKENS, *SPECIAL_TOKENS)]
    )
    return tokenizer


def parse_tokenizer(payload: bytes, where: str) -> Tokenizer:
    """A tokenizer from the bytes of a tokenizer.json; `AerieError` names the file when it is none."""
    try:
        return Tokenizer.from_str(payload.decode())
    except Exception as error:  # the library raises a bare Exception for whatever it can't read
        raise AerieError(f"{where} is not a tokenizer.json that the tokenizers library reads: {error}") from error


class ChatTokenizer:
    """Encodes plain text only: no text, whatever it contains, can produce a special token.

    Special tokens are placed by id by whoever builds a conversation (`model.inputs.encode`).
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._full = tokenizer
        document: dict[str, Any] = json.loads(tokenizer.to_str())
        # The same BPE without its added tokens can't match them: safer than asking the library to ignore them.
        bare: dict[str, Any] = {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
        self._plain = Tokenizer.from_str(json.dumps({**document, **bare}))
        self._cached = lru_cache(maxsize=CACHED_TEXTS)(self._encode)
        for token in (*CHAT_TOKENS, *SPECIAL_TOKENS):
            if self.token_id(token) in self._plain.encode(token).ids:
                raise AerieError(f"{token!r} is an ordinary word of the tokenizer: user text could forge it")
        self.new_token_ids: tuple[int, ...] = tuple(self.token_id(token) for token in SPECIAL_TOKENS)
        self.markup_ids = {token: self.token_id(token) for token in MARKUP_TOKENS}
        self.vocab_size: int = 1 + max(self.vocabulary().values())
        self.image_context_id = self.token_id(IMAGE_CONTEXT)
        self.image_start_id, self.image_end_id = self.token_id(IMAGE_START), self.token_id(IMAGE_END)
        self.im_start_id, self.im_end_id = self.token_id(TURN_START), self.token_id(TURN_END)

    @classmethod
    def load(cls, tokenizer_uri: str) -> "ChatTokenizer":
        """The tokenizer that a finished tokenizer step keeps in its folder."""
        payload = read_attachment(tokenizer_uri, read_manifest(tokenizer_uri), "tokenizer")
        return cls(parse_tokenizer(payload, f"the tokenizer in {tokenizer_uri}"))

    def __reduce__(self) -> tuple[type["ChatTokenizer"], tuple[Tokenizer]]:
        """To another process goes the tokenizer, without the texts that it encoded here."""
        return ChatTokenizer, (self._full,)

    def to_json(self) -> str:
        """The tokenizer with all its tokens as the text of a tokenizer.json."""
        return str(self._full.to_str(pretty=True))

    def vocabulary(self) -> dict[str, int]:
        """Every token's id by its spelling, special tokens too."""
        return dict(self._full.get_vocab(with_added_tokens=True))

    def token_id(self, token: str) -> int:
        """The id of one token by its text."""
        found = self._full.token_to_id(token)
        if found is None:
            raise AerieError(f"the tokenizer has no token {token!r}; run the tokenizer step again")
        return int(found)

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text (NFC); no special token can come out."""
        return list(self._cached(text))

    def encode_markup(self, text: str) -> list[int]:
        """As `encode`, but grounding marks (`<box>`, `<ref>`, ...) become their tokens: for answers of the data."""
        if "<" not in text:
            return self.encode(text)
        ids: list[int] = []
        for piece in MARKUP.split(text):
            ids += [self.markup_ids[piece]] if piece in self.markup_ids else self._cached(piece)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids; special tokens stay visible."""
        return str(self._full.decode(list(ids), skip_special_tokens=False))

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self._plain.encode(text, add_special_tokens=False).ids)
