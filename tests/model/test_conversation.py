"""A conversation that waits for its answer has the ids that training would give it."""

import pytest
from PIL import Image

from data.errors import AerieError
from data.images import encode_png, image_ref
from data.schema import ImageRef, Turn, make_sample
from model.config import ModelSettings
from model.inputs.conversation import encode_conversation, with_placeholders
from model.inputs.encode import encode_prompt, encode_sample
from model.inputs.tokens import ChatTokenizer, train_bpe

SETTINGS = ModelSettings.model_validate(
    {"tiling": {"tile_size": 32, "max_tiles": 2}, "siglip": {"patch_size": 8}, "system_prompt": "Be brief."}
)


@pytest.fixture(scope="module")
def tokenizer() -> ChatTokenizer:
    return ChatTokenizer(train_bpe(["what colour is it?", "red", "user\n", "assistant\n"] * 9, 320))


def picture(width: int, height: int = 32) -> ImageRef:
    return image_ref(encode_png(Image.new("RGB", (width, height), "red")), f"{width}.png")


def turns(*texts: str) -> list[Turn]:
    return [Turn(role=("user", "assistant")[number % 2], content=text) for number, text in enumerate(texts)]


def test_one_question_is_a_prompt(tokenizer):
    images = [picture(32), picture(64)]
    asked = encode_conversation(turns("<image>\n<image>\nwhat is it?"), images, tokenizer, SETTINGS)
    expected = encode_prompt("<image>\n<image>\nwhat is it?", images, tokenizer, SETTINGS)
    assert asked.input_ids.tolist() == expected.input_ids.tolist()
    assert asked.labels.tolist() == expected.labels.tolist()
    assert (asked.tiles == expected.tiles).all()


def test_history_is_what_training_saw_before_the_last_answer(tokenizer):
    images = (picture(64), picture(32))
    texts = ("<image>\nwhat is it?", "a <box>1</box> line", "and <image> this?", "red")
    whole = make_sample(
        source="here", category="general_vqa", images=images, conversations=tuple(turns(*texts)), meta={}
    )
    trained = encode_sample(whole, tokenizer, SETTINGS)
    asked = encode_conversation(turns(*texts[:3]), images, tokenizer, SETTINGS)
    answer = [*tokenizer.encode("red"), tokenizer.im_end_id, *tokenizer.encode("\n")]
    assert asked.input_ids.tolist() + answer == trained.input_ids.tolist()
    complete = encode_conversation(turns(*texts), images, tokenizer, SETTINGS)
    assert complete.input_ids.tolist() == trained.input_ids.tolist()
    assert complete.labels.tolist() == trained.labels.tolist()


def test_images_come_first_unless_the_question_places_them():
    assert with_placeholders("what?", 2) == "<image>\n<image>\nwhat?"
    assert with_placeholders("compare <image> and <image>", 2) == "compare <image> and <image>"
    assert with_placeholders("what?", 0) == "what?"


@pytest.mark.parametrize(
    ("texts", "images", "message"),
    [
        (("<image> and <image>",), 1, "2 <image> placeholders, 1 images"),
        ((), 0, "don't alternate"),
        (("one", "two", "three", "four", "five"), 1, "0 <image> placeholders, 1 images"),
    ],
)
def test_what_does_not_fit_is_said(tokenizer, texts, images, message):
    with pytest.raises(AerieError, match=message):
        encode_conversation(turns(*texts), [picture(32)] * images, tokenizer, SETTINGS)


def test_a_truncated_image_is_named(tokenizer):
    payload = encode_png(Image.effect_noise((64, 64), 60).convert("RGB"))[:-2000]
    with pytest.raises(AerieError, match=r"image cut\.png can't be used"):
        encode_conversation(turns("<image>\nwhat?"), [image_ref(payload, "cut.png")], tokenizer, SETTINGS)
