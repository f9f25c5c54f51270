"""Merging keeps every token and tile and says where each sample lies."""

from dataclasses import replace

import numpy as np
import pytest

from data.errors import AerieError
from model.inputs.batch import IGNORE_INDEX, EncodedSample
from model.inputs.encode import SampleProblemError
from model.inputs.merge import check_image_tokens, merge, placeholder_pack


def encoded(name: str, length: int, tiles: int) -> EncodedSample:
    ids = np.arange(length, dtype=np.int64) + 100 * length
    labels = np.where(ids % 2, ids, IGNORE_INDEX)
    pixels = np.full((tiles, 8, 8, 3), length, dtype=np.uint8)
    return EncodedSample(sample_id=name, source="s", category="general_vqa", input_ids=ids, labels=labels, tiles=pixels)


def test_samples_lie_back_to_back_with_their_own_positions():
    samples = [encoded("a", 3, 1), encoded("b", 5, 0), encoded("c", 2, 2)]
    pack = merge(samples)
    assert pack.cu_seqlens.tolist() == [0, 3, 8, 10]
    assert pack.cu_seqlens.dtype == np.int32
    assert pack.positions.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 0, 1]
    assert pack.tiles_per_sample.tolist() == [1, 0, 2]
    assert pack.sample_ids == ("a", "b", "c")
    assert pack.sources == ("s",) * 3
    assert pack.categories == ("general_vqa",) * 3
    for number, sample in enumerate(samples):
        span = slice(pack.cu_seqlens[number], pack.cu_seqlens[number + 1])
        assert (pack.input_ids[span] == sample.input_ids).all()
        assert (pack.labels[span] == sample.labels).all()
    assert pack.tiles[:, 0, 0, 0].tolist() == [3, 2, 2]
    assert {pack.input_ids.dtype, pack.labels.dtype, pack.positions.dtype} == {np.dtype(np.int64)}


def test_a_text_only_pack_has_zero_tiles():
    assert merge([encoded("a", 3, 0)]).tiles.shape == (0, 8, 8, 3)


def test_an_empty_pack_is_an_error():
    with pytest.raises(AerieError, match="at least one sample"):
        merge([])


IMAGE, PER_TILE = 7, 4


def pictured(name: str, tokens: int, tiles: int) -> EncodedSample:
    """A sample with `tokens` image tokens between words."""
    sample = encoded(name, tokens + 3, tiles)
    return replace(sample, input_ids=np.array([1, *[IMAGE] * tokens, 2, 3], dtype=np.int64))


@pytest.mark.parametrize(("tokens", "tiles"), [(8, 2), (0, 0), (4, 1)])
def test_matching_image_tokens_pass(tokens, tiles):
    check_image_tokens(pictured("a", tokens, tiles), IMAGE, PER_TILE)


@pytest.mark.parametrize(
    ("tokens", "tiles", "message"),
    [
        (8, 1, "sample a of 's' has 8 image tokens in its text and 4 image features .1 tiles, 4 each"),
        (5, 1, "sample a of 's' has 5 image tokens in its text and 4 image features"),
        (4, 0, "sample a of 's' has 4 image tokens in its text and 0 image features"),
        (0, 1, "sample a of 's' has 0 image tokens in its text and 4 image features"),
    ],
    ids=["missing tile", "extra token", "no tile", "no token"],
)
def test_a_mismatch_names_the_sample_and_both_counts(tokens, tiles, message):
    with pytest.raises(SampleProblemError, match=message) as problem:
        check_image_tokens(pictured("a", tokens, tiles), IMAGE, PER_TILE)
    assert problem.value.reason == "image_token_mismatch"


def test_a_placeholder_holds_two_tokens_and_nothing_to_learn():
    pack = placeholder_pack(8)
    assert pack.tiles.shape == (0, 8, 8, 3)
    assert pack.cu_seqlens.tolist() == [0, 2]
    assert (pack.labels == IGNORE_INDEX).all()
    assert pack.sample_ids == ("",)
