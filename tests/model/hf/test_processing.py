"""The processor gives the ids of training, and no text can forge a token."""

import base64
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer, pipeline

from data.errors import AerieError
from data.schema import Turn, make_sample
from model.hf import AerieProcessor
from model.images import read_image
from model.inputs.encode import encode_prompt, encode_sample
from model.inputs.tokens import CHAT_TOKENS, SPECIAL_TOKENS

INPUTS = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}


@pytest.fixture(scope="module")
def processor(loaded) -> AerieProcessor:
    return loaded[1]


def user(*parts: object) -> dict:
    """A message of text (str) and images (dict with the picture)."""
    content = [{"type": "text", "text": part} if isinstance(part, str) else {"type": "image", **part} for part in parts]
    return {"role": "user", "content": content}


def trained(colour_checkpoint, images, *texts):
    """Ids of the conversation as training encodes it, and its tiles."""
    turns = tuple(Turn(role=("user", "assistant")[i % 2], content=text) for i, text in enumerate(texts))
    sample = make_sample(
        source="here",
        category="general_vqa",
        images=tuple(read_image(image) for image in images),
        conversations=turns,
        meta={},
    )
    encoded = encode_sample(sample, colour_checkpoint.tokenizer, colour_checkpoint.model.settings)
    return encoded.input_ids.tolist(), torch.from_numpy(encoded.tiles)


def test_single_image_conversation(processor, colour_checkpoint, colour_pictures):
    path = colour_pictures["blue.jpg"]
    messages = [user({"path": path}, "which colour?")]
    inputs = processor.apply_chat_template(messages, add_generation_prompt=True, **INPUTS)
    expected = encode_prompt(
        "<image>\nwhich colour?", [read_image(path)], colour_checkpoint.tokenizer, colour_checkpoint.model.settings
    )
    assert inputs["input_ids"].tolist() == [expected.input_ids.tolist()]
    assert inputs["attention_mask"].tolist() == [[1] * len(expected.input_ids)]
    assert inputs["pixel_values"].dtype == torch.uint8
    assert torch.equal(inputs["pixel_values"], torch.from_numpy(expected.tiles))
    short = processor(text="which colour?", images=path)
    assert all(torch.equal(short[name], inputs[name]) for name in inputs)


def test_interleaved_and_multi_turn_conversations_are_those_of_training(processor, colour_checkpoint, colour_pictures):
    red, wide = colour_pictures["red.png"], colour_pictures["wide.png"]
    messages = [
        {"role": "system", "content": "Be brief."},
        user({"path": red}, {"path": wide}, "which is wider?"),
        {"role": "assistant", "content": "the <box>second</box>"},
        user("and is this ", {"url": wide}, " red?\n"),
        {"role": "assistant", "content": [{"type": "text", "text": "no"}]},
    ]
    texts = ("<image>\n<image>\nwhich is wider?", "the <box>second</box>", "and is this <image>\n red?\n", "no")
    ids, tiles = trained(colour_checkpoint, [red, wide, wide], *texts)
    whole = processor.apply_chat_template(messages, **INPUTS)
    assert whole["input_ids"].tolist() == [ids]
    assert torch.equal(whole["pixel_values"], tiles)
    asked = processor.apply_chat_template(messages[:-1], add_generation_prompt=True, **INPUTS)
    length = asked["input_ids"].shape[1]
    assert asked["input_ids"].tolist() == [ids[:length]]
    assert processor.chat.decode(ids[length:]) == "no<|im_end|>\n"


def test_another_system_prompt_replaces_the_recipes(processor):
    question = {"role": "user", "content": "red?"}
    system = {"role": "system", "content": "Be long."}
    usual = processor.apply_chat_template([question], add_generation_prompt=True)
    other = processor.apply_chat_template([system, question], add_generation_prompt=True)
    assert usual == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nred?<|im_end|>\n<|im_start|>assistant\n"
    assert other == usual.replace("Be brief.", "Be long.")


def test_rows_are_padded_on_the_left(processor, colour_pictures):
    rows = [[user({"path": colour_pictures["red.png"]}, "which colour?")], [{"role": "user", "content": "red?"}]]
    batch = processor.apply_chat_template(rows, add_generation_prompt=True, **INPUTS)
    for number, row in enumerate(rows):
        alone = processor.apply_chat_template(row, add_generation_prompt=True, **INPUTS)["input_ids"][0]
        assert torch.equal(batch["input_ids"][number][-len(alone) :], alone)
        assert batch["attention_mask"][number].sum() == len(alone)
        assert (batch["input_ids"][number][: -len(alone)] == processor.tokenizer.pad_token_id).all()


@pytest.mark.parametrize("token", [*CHAT_TOKENS, *SPECIAL_TOKENS])
def test_no_text_forges_a_token(processor, token):
    for messages in (
        [{"role": "user", "content": f"a{token}b"}],
        [{"role": "system", "content": f"x{token}"}, {"role": "user", "content": "a"}],
    ):
        forged = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True)[0]
        plain = [{**message, "content": message["content"].replace(token, "")} for message in messages]
        honest = processor.apply_chat_template(plain, add_generation_prompt=True, tokenize=True)[0]
        identity = processor.chat.token_id(token)
        assert list(forged).count(identity) == list(honest).count(identity)
    asked = processor(text=f"a{token}b")["input_ids"][0].tolist()
    assert asked.count(processor.chat.token_id(token)) == processor(text="ab")["input_ids"][0].tolist().count(
        processor.chat.token_id(token)
    )


def test_every_source_of_an_image_shows_the_same_tiles(processor, colour_pictures):
    path = Path(colour_pictures["wide.png"])
    url = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    ways = [
        {"type": "image", "path": str(path)},
        {"type": "image", "image": Image.open(path)},
        {"type": "image", "url": f"file://{path}"},
        {"type": "image", "base64": base64.b64encode(path.read_bytes()).decode()},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    seen = [
        processor.apply_chat_template([{"role": "user", "content": [way]}], add_generation_prompt=True, **INPUTS)
        for way in ways
    ]
    assert seen[0]["pixel_values"].shape == (3, 64, 64, 3)
    for inputs in seen[1:]:
        assert torch.equal(inputs["pixel_values"], seen[0]["pixel_values"])
        assert torch.equal(inputs["input_ids"], seen[0]["input_ids"])


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([{"role": "tool", "content": "x"}], "message 0 has role 'tool'"),
        ([{"role": "user", "content": "a"}, {"role": "system", "content": "x"}], "message 1 has role 'system'"),
        ([user("what is <image>?")], "message 0 writes <image> as text"),
        ([{"role": "user", "content": [{"type": "video", "path": "x"}]}], "has a part of type 'video'"),
        ([user({})], "0 pictures"),
        ([user({"path": "nowhere.png"})], "message 0: file not found: nowhere.png"),
        ([user("a"), user("b")], "don't alternate"),
        ([{"role": "assistant", "content": "a"}, user("b")], "don't alternate"),
        ([], "set add_generation_prompt just when it ends with a question"),
    ],
)
def test_conversations_that_cannot_be_encoded_are_explained(processor, messages, message):
    with pytest.raises(AerieError, match=message):
        processor.apply_chat_template([messages], add_generation_prompt=True, tokenize=True)


def test_misuse_is_explained(processor):
    answered = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    with pytest.raises(AerieError, match="set add_generation_prompt"):
        processor.apply_chat_template(answered, add_generation_prompt=True)
    with pytest.raises(AerieError, match="can't continue an answer"):
        processor.apply_chat_template(answered, continue_final_message=True)
    with pytest.raises(AerieError, match="2 questions, but images for 1"):
        processor(text=["a", "b"], images=["red.png"])
    with pytest.raises(AerieError, match="padding=True"):
        processor(text=["a", "some more"], padding=False)
    with pytest.raises(AerieError, match="give the processor a text"):
        processor(images=["red.png"])
    with pytest.raises(AerieError, match="nothing to encode"):
        processor(text=[])


def test_saved_and_loaded_it_encodes_the_same(processor, colour_checkpoint, hf_folder, tmp_path, colour_pictures):
    processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(again, AerieProcessor)
    assert again.model_settings == colour_checkpoint.model.settings
    assert again.chat.to_json() == colour_checkpoint.tokenizer.to_json(), "transformers left the tokenizer as it was"
    assert json.loads(Path(hf_folder, "processor_config.json").read_text())["processor_class"] == "AerieProcessor"
    tokenizer = AutoTokenizer.from_pretrained(hf_folder)
    assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.padding_side) == (
        "<|im_end|>",
        "<|endoftext|>",
        "left",
    )
    asked = {"text": "which colour?", "images": colour_pictures["wide.png"]}
    assert all(torch.equal(processor(**asked)[name], again(**asked)[name]) for name in again.model_input_names)


def test_grounding_marks_stay_readable(processor):
    ids = [*processor.chat.encode("at "), processor.chat.token_id("<box>"), processor.chat.im_end_id]
    assert processor.post_process_image_text_to_text([ids]) == ["at <box>"]
    assert processor.post_process_image_text_to_text([ids], skip_special_tokens=False) == ["at <box><|im_end|>"]


def test_transformers_own_pipeline_answers(hf_folder, colour_pictures):
    ask = pipeline("image-text-to-text", model=hf_folder)
    for name, colour in (("red.png", "red"), ("blue.jpg", "blue")):
        messages = [user({"path": colour_pictures[name]}, "which colour?")]
        answer = ask(text=messages, generate_kwargs={"max_new_tokens": 8}, return_full_text=False)
        assert answer[0]["generated_text"] == colour
