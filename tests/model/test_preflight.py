"""The check of image tokens against image files, on real samples and on such that lie about their images."""

from dataclasses import replace

import pytest
from PIL import Image

from data.images import encode_png, image_ref
from data.schema import Sample, Turn, make_sample
from model.config import ModelSettings
from model.inputs.encode import SampleProblemError, encode_sample, text_ids
from model.inputs.preflight import check_written_tokens, file_sizes
from model.inputs.tokens import IMAGE_CONTEXT, ChatTokenizer, train_bpe

MODEL = ModelSettings.model_validate({"tiling": {"tile_size": 32, "max_tiles": 4}, "siglip": {"patch_size": 8}})


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer(train_bpe(["which is larger, left or right?"], 300))


def talk(*sizes: tuple[int, int]) -> Sample:
    images = tuple(image_ref(encode_png(Image.new("RGB", size)), f"{size}.png") for size in sizes)
    turns = (
        Turn(role="user", content="<image>\n" * len(images) + f"larger? {IMAGE_CONTEXT}"),
        Turn(role="assistant", content="left"),
    )
    return make_sample(source="here", category="general_vqa", images=images, conversations=turns, meta={})


def with_size(sample: Sample, width: int, height: int) -> Sample:
    return replace(sample, images=(replace(sample.images[0], width=width, height=height), *sample.images[1:]))


def check(sample: Sample, tokenizer: ChatTokenizer) -> int:
    return check_written_tokens(sample, text_ids(sample, tokenizer, MODEL), file_sizes(sample), tokenizer, MODEL)


@pytest.mark.parametrize("sizes", [(), [(32, 32)], [(64, 32), (32, 96)], [(40, 130)] * 3])
def test_what_passes_is_what_the_network_gets(tokenizer, sizes):
    sample = talk(*sizes)
    encoded = encode_sample(sample, tokenizer, MODEL)
    assert check(sample, tokenizer) == len(encoded.tiles)
    marked = int((encoded.input_ids == tokenizer.image_context_id).sum())
    assert marked == len(encoded.tiles) * MODEL.tokens_per_tile


@pytest.mark.parametrize(
    ("size", "reason"), [((32, 96), "image_token_mismatch"), ((33, 32), "image_size_mismatch"), ((32, 32), None)]
)
def test_a_row_that_names_another_size_than_the_file_is_found(tokenizer, size, reason):
    sample = with_size(talk((32, 32), (64, 64)), *size)
    if reason is None:
        check(sample, tokenizer)
        return
    with pytest.raises(SampleProblemError, match=sample.sample_id) as caught:
        check(sample, tokenizer)
    assert caught.value.reason == reason


@pytest.mark.parametrize("lost", [1, -1])
def test_one_image_token_more_or_less_is_found(tokenizer, lost):
    sample = talk((64, 32))
    ids = text_ids(sample, tokenizer, MODEL)
    place = ids.index(tokenizer.image_context_id)
    ids = ids[:place] + [tokenizer.image_context_id] * (lost == -1) + ids[place + (lost == 1) :]
    with pytest.raises(SampleProblemError, match=r"\d+ image tokens in its text, \d+ from the tiles") as caught:
        check_written_tokens(sample, ids, file_sizes(sample), tokenizer, MODEL)
    assert caught.value.reason == "image_token_mismatch"


def test_a_broken_file_has_its_own_reason_and_an_absent_one_counts_by_its_row(tokenizer):
    sample = talk((64, 32))
    image = sample.images[0]
    with pytest.raises(SampleProblemError) as caught:
        check(replace(sample, images=(replace(image, bytes=b"no picture"),)), tokenizer)
    assert caught.value.reason == "corrupt_image"
    assert check(replace(sample, images=(replace(image, bytes=None),)), tokenizer) == 3
