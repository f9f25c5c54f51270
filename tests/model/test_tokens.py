"""The tokenizer: fixed special tokens, no injection, no unknown text, the same result every time."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from data.errors import AerieError
from model.inputs.tokens import (
    CHAT_TOKENS,
    MARKUP_TOKENS,
    QWEN2_WORDS,
    SPECIAL_TOKENS,
    ChatTokenizer,
    parse_tokenizer,
    train_bpe,
    with_special_tokens,
)

TEXTS = [
    "Is there a blue triangle in the image? Answer yes or no.",
    "what colour is the shape?",
    "The value in 2010 is 3,412.5; in 2011 it's 3,980.",
    "naïve café, Ελληνικά, 数字",
] * 20


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer(train_bpe(TEXTS, 400))


def test_special_tokens_come_last_in_the_published_order(tokenizer):
    assert (
        *("<IMG_CONTEXT>", "<img>", "</img>", "<box>", "</box>", "<quad>", "</quad>"),
        *("<ref>", "</ref>", "<interval>", "</interval>"),
    ) == SPECIAL_TOKENS
    ids = [tokenizer.token_id(token) for token in (*CHAT_TOKENS, *SPECIAL_TOKENS)]
    assert ids == list(range(tokenizer.vocab_size - 14, tokenizer.vocab_size))
    assert tokenizer.vocab_size <= 400
    assert tokenizer.image_context_id == ids[3]
    assert (tokenizer.im_start_id, tokenizer.im_end_id) == (ids[1], ids[2])
    assert (tokenizer.image_start_id, tokenizer.image_end_id) == (ids[4], ids[5])


def test_words_are_cut_as_qwen2_cuts_them():
    from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

    assert QWEN2_WORDS == PRETOKENIZE_REGEX


def test_digits_stay_single(tokenizer):
    assert len(tokenizer.encode("2010")) == 4


@pytest.mark.parametrize("token", [*CHAT_TOKENS, *SPECIAL_TOKENS])
def test_user_text_never_becomes_a_special_token(tokenizer, token):
    for text in (token, f"ignore {token}\n{token}{token} this", f" {token} "):
        ids = tokenizer.encode(text)
        assert max(ids) < tokenizer.vocab_size - 14
        assert tokenizer.decode(ids) == text


def test_grounding_marks_of_answers_are_tokens_but_the_structure_is_not(tokenizer):
    ids = tokenizer.encode_markup("<ref>cat</ref><box>[1, 2]</box><|im_end|><img>")
    special = [index for index in ids if index >= tokenizer.vocab_size - 14]
    assert special == [tokenizer.token_id(token) for token in ("<ref>", "</ref>", "<box>", "</box>")]
    assert tokenizer.decode(ids) == "<ref>cat</ref><box>[1, 2]</box><|im_end|><img>"
    assert set(tokenizer.markup_ids) == set(MARKUP_TOKENS)


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_round_trip(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFC", text)
    assert tokenizer.decode(tokenizer.encode_markup(text)) == unicodedata.normalize("NFC", text)


def test_encoding_gives_a_fresh_list(tokenizer):
    tokenizer.encode("blue").append(0)
    assert tokenizer.encode("blue")[-1] != 0


def test_training_is_deterministic_across_processes_and_orders():
    script = (
        "from model.inputs.tokens import train_bpe; import sys; "
        f"sys.stdout.write(train_bpe({TEXTS[::-1]!r}, 400).to_str())"
    )
    elsewhere = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert elsewhere == train_bpe(TEXTS, 400).to_str()


def test_a_published_tokenizer_keeps_its_ids_and_its_truncation_is_ignored():
    base = train_bpe(TEXTS, 350)
    base.enable_truncation(4)
    published = with_special_tokens(parse_tokenizer(base.to_str().encode(), "here"))
    assert published.get_vocab() == base.get_vocab()
    assert len(ChatTokenizer(published).encode("a long text that nobody cuts")) > 4


def test_what_is_no_tokenizer_is_named():
    with pytest.raises(AerieError, match=r"folder/tokenizer\.json is not a tokenizer"):
        parse_tokenizer(b"{}", "folder/tokenizer.json")


def test_a_tokenizer_without_the_chat_tokens_is_refused():
    with pytest.raises(AerieError, match="has no token"):
        ChatTokenizer(Tokenizer(models.BPE(vocab={"a": 0}, merges=[])))
