"""qwen.tiktoken to Qwen2.5's tokenizer: the conversion on a small BPE, and the real file where the package is there."""

import base64
import importlib.util
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, trainers
from transformers.convert_slow_tokenizer import bytes_to_unicode

from data.errors import AerieError
from model.inputs.qwen_vocabulary import QWEN25_CONTROL_TOKENS, QWEN25_TEXT_TOKENS, qwen_tokenizer
from model.inputs.tokens import (
    END_OF_TEXT,
    SPECIAL_TOKENS,
    TURN_END,
    TURN_START,
    ChatTokenizer,
    byte_level,
    parse_tokenizer,
    with_special_tokens,
)

TEXTS = [
    "Is there a blue triangle?  In 2010 it's 3,412.5.",
    "naïve café, Ελληνικά, 数字\n\n\tdef f(x):\n    return x",
] * 9
# Ids that Qwen2.5's users have published, e.g. in the READMEs of tokenizer packages.
KNOWN = {
    "Hello, world!": [9707, 11, 1879, 0],
    "Hello world": [9707, 1879],
    "hello": [14990],
    "你好": [108386],
    "ки": [16748],
    "<<": [2442],
    ">>": [2452],
}


def tiktoken_lines(vocabulary: dict[str, int]) -> bytes:
    letters = {letter: byte for byte, letter in bytes_to_unicode().items()}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    lines = [base64.b64encode(bytes(letters[letter] for letter in token)) for token in tokens]
    return b"".join(line + b" %d\n" % rank for rank, line in enumerate(lines))


@pytest.fixture(scope="module")
def trained():
    """A bare byte-level BPE, and the same as a tiktoken file."""
    tokenizer = byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=sorted(bytes_to_unicode().values()), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer, tiktoken_lines(tokenizer.get_vocab())


@pytest.fixture(scope="module")
def rebuilt(trained) -> ChatTokenizer:
    return ChatTokenizer(with_special_tokens(qwen_tokenizer(trained[1], "here")))


@pytest.fixture(scope="module")
def published() -> ChatTokenizer:
    """The real thing, with Eagle's tokens behind it."""
    package = importlib.util.find_spec("dashscope")
    folders = list(package.submodule_search_locations or ()) if package else []
    files = [file for folder in folders if (file := Path(folder, "resources/qwen.tiktoken")).is_file()]
    if not files:
        pytest.skip("qwen.tiktoken is missing: pip install 'dashscope<2'")
    return ChatTokenizer(with_special_tokens(qwen_tokenizer(files[0].read_bytes(), str(files[0]))))


def test_vocabulary_and_merges_come_back_from_the_ranks(trained):
    tokenizer, payload = trained
    ours, theirs = (json.loads(t.to_str())["model"] for t in (qwen_tokenizer(payload, "here"), tokenizer))
    assert len(ours["merges"]) == len(ours["vocab"]) - 256 > 50
    assert ours["vocab"] == theirs["vocab"]
    assert ours["merges"] == theirs["merges"]


@settings(max_examples=100, deadline=None)
@given(text=st.text() | st.sampled_from(TEXTS))
def test_the_rebuilt_tokenizer_encodes_alike(trained, rebuilt, text):
    assert rebuilt.encode(text) == trained[0].encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"IQ== 0\nIg==\n", r"vocab\.tiktoken is not a tiktoken file"),
        (b"!!! 0\n", r"vocab\.tiktoken is not a tiktoken file"),
        (b"IQ== 0\nIg== 2\n", r"vocab\.tiktoken: the ranks of its 2 tokens don't count up from 0"),
        (b"IQ== 0\nIQ== 1\n", r"vocab\.tiktoken: the ranks of its 2 tokens"),
        (b"IQ== 0\nIg== 1\n", r"vocab\.tiktoken: no token for 254 bytes, the first is 0"),
    ],
)
def test_a_broken_file_is_named(payload, message):
    with pytest.raises(AerieError, match=message):
        qwen_tokenizer(payload, "vocab.tiktoken")


def test_a_token_that_no_merge_makes_is_named(trained):
    lines = [*trained[1].splitlines()[:256], base64.b64encode(b"abc") + b" 256"]
    with pytest.raises(AerieError, match=r"no merge leads to token 256, b'abc'"):
        qwen_tokenizer(b"\n".join(lines), "vocab.tiktoken")


def test_published_ids(published):
    assert {text: published.encode(text) for text in KNOWN} == KNOWN
    assert [published.token_id(token) for token in (END_OF_TEXT, TURN_START, TURN_END)] == [151643, 151644, 151645]
    ids = [published.token_id(token) for token in (*QWEN25_CONTROL_TOKENS, *QWEN25_TEXT_TOKENS)]
    assert ids == list(range(151643, 151665))
    assert published.token_id("<|image_pad|>") == 151655
    assert published.token_id("<tool_call>") == 151657


def test_eagles_tokens_follow_in_order(published):
    assert published.new_token_ids == tuple(range(151665, 151676))
    assert [published.token_id(token) for token in SPECIAL_TOKENS] == list(range(151665, 151676))
    assert published.image_context_id == 151665
    assert published.vocab_size == 151676


def test_published_digits_stay_single(published):
    assert published.encode("2010") == [17, 15, 16, 15]
    assert len(published.encode("3.14159")) == 7


def test_transformers_own_qwen2_gives_the_same_ids(published):
    from transformers import Qwen2Tokenizer

    document = json.loads(published.to_json())["model"]
    theirs = Qwen2Tokenizer(vocab=document["vocab"], merges=[tuple(merge) for merge in document["merges"]])
    for text in [*TEXTS, Path(__file__).read_text(), "e\u0301 \u212b ﬁ \U0001f600", "a  b\r\n\r\n c\t"]:
        assert published.encode(text) == theirs(text, add_special_tokens=False)["input_ids"]


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_published_round_trip_is_nfc(published, text):
    assert published.decode(published.encode(text)) == unicodedata.normalize("NFC", text)


def test_the_json_keeps_it_all(published):
    again = ChatTokenizer(parse_tokenizer(published.to_json().encode(), "here"))
    text = "The quick brown fox, 数字 12.5 <|im_end|>"
    assert again.encode(text) == published.encode(text)
    assert again.new_token_ids == published.new_token_ids
