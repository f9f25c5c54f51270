"""Our network through transformers: it loads what it saved bit by bit, and `generate` says what our decoding says."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText

from data.errors import AerieError
from model.generation import generate
from model.hf import AerieConfig, AerieForConditionalGeneration
from model.images import read_image
from model.inputs.encode import encode_prompt
from model.inputs.merge import merge
from model.vlm import PackTensors, build_model


def assert_same_weights(left: torch.nn.Module, right: torch.nn.Module) -> None:
    ours, theirs = left.state_dict(), right.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype, name
        assert torch.equal(value, theirs[name]), name


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("both_towers", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saved_in_shards_and_loaded_it_is_the_same_bit_by_bit(tiny_settings, tmp_path, dtype, both_towers, tied):
    language = tiny_settings.language.model_copy(update={"tie_embeddings": tied})
    update = {"language": language} | ({} if both_towers else {"convnext": None})
    network = build_model(tiny_settings.model_copy(update=update), 96, 90, seed=3).to(dtype)
    AerieForConditionalGeneration.of(network).save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    stored = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    assert ("model.language.lm_head.weight" in stored) != tied

    loaded, report = AutoModelForImageTextToText.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert_same_weights(network, loaded.model)
    head, embedding = loaded.get_output_embeddings().weight, loaded.get_input_embeddings().weight
    assert (head is embedding) == tied
    loaded.save_pretrained(tmp_path / "again")
    again = AutoModel.from_pretrained(tmp_path / "again")
    assert isinstance(again, AerieForConditionalGeneration)
    assert_same_weights(loaded, again)
    ids, tiles = example(network)
    with torch.no_grad():
        assert torch.equal(loaded(ids, tiles).logits, again(ids, tiles).logits)


def example(network, seed=0):
    """(ids [2, 24], tiles [3, 64, 64, 3]): one tile in the first row, two in the second."""
    draw, tokens = torch.Generator().manual_seed(seed), network.settings.tokens_per_tile
    ids = torch.randint(0, 90, (2, 3 * tokens), generator=draw)
    ids[0, 2 : 2 + tokens], ids[1, 1 : 1 + 2 * tokens] = 90, 90
    return ids, torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=draw)


def test_logits_and_loss_are_those_of_the_network_itself(colour_checkpoint, loaded, colour_pictures):
    network = colour_checkpoint.model
    image = read_image(colour_pictures["wide.png"])
    sample = encode_prompt("<image>\nwhich colour?", [image], colour_checkpoint.tokenizer, network.settings)
    ids, tiles = torch.from_numpy(sample.input_ids)[None], torch.from_numpy(sample.tiles)
    with torch.no_grad():
        hidden = network.hidden_states(PackTensors.of(merge([sample])))
        expected = network.language.lm_head(hidden)
        output = loaded[0](input_ids=ids, pixel_values=tiles, labels=ids)
        last = loaded[0](input_ids=ids, pixel_values=tiles, logits_to_keep=1)
    torch.testing.assert_close(output.logits[0], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(last.logits[0], expected[-1:], atol=1e-5, rtol=1e-5)
    textbook = torch.nn.functional.cross_entropy(expected[:-1], ids[0, 1:])
    torch.testing.assert_close(output.loss, textbook, atol=1e-5, rtol=1e-5)


def test_generate_with_and_without_cache_is_our_own_generation(colour_checkpoint, loaded, colour_pictures):
    model, processor = loaded
    network, tokenizer = colour_checkpoint.model, colour_checkpoint.tokenizer
    names = ("red.png", "wide.png", "blue.jpg")
    questions = ["which colour?", "which colour is it, red or green?", "green?"]  # rows of unequal length
    inputs = processor(text=questions, images=[colour_pictures[name] for name in names])
    prompts = [
        encode_prompt(f"<image>\n{question}", [read_image(colour_pictures[name])], tokenizer, network.settings)
        for question, name in zip(questions, names, strict=True)
    ]
    expected = generate(network, prompts, end_ids=[tokenizer.im_end_id], max_new_tokens=12)
    assert tokenizer.decode(expected[0]) == "red"
    for use_cache in (True, False):
        written = model.generate(**inputs, max_new_tokens=12, use_cache=use_cache)
        rows = written[:, inputs["input_ids"].shape[1] :].tolist()
        assert [cut(row, tokenizer.im_end_id) for row in rows] == expected
    assert processor.answers(written, inputs) == [tokenizer.decode(row) for row in expected]


def cut(row, end_id):
    return row[: row.index(end_id)] if end_id in row else row


def test_the_towers_run_once_a_generation(loaded, colour_pictures):
    model, processor = loaded
    inputs, calls = processor(text="which colour?", images=colour_pictures["wide.png"]), []
    hook = model.model.vision.register_forward_hook(lambda *_: calls.append(1))
    model.generate(**inputs, max_new_tokens=5, eos_token_id=None)
    hook.remove()
    assert len(calls) == 1


def test_beams_take_their_tiles_along(loaded, colour_pictures):
    """Rows of three tiles and of one: repeating tile by tile would show a row its neighbour's picture."""
    model, processor = loaded
    names = ["wide.png", "red.png"]
    inputs = processor(text=["which colour?"] * 2, images=[colour_pictures[name] for name in names])
    together = model.generate(**inputs, max_new_tokens=4, num_beams=3, num_return_sequences=2)
    for row, name in enumerate(names):
        alone = processor(text="which colour?", images=colour_pictures[name])
        written = model.generate(**alone, max_new_tokens=4, num_beams=3, num_return_sequences=2)
        assert processor.answers(together, inputs)[2 * row : 2 * row + 2] == processor.answers(written, alone)
    ids, expanded = model._expand_inputs_for_generation(2, input_ids=inputs["input_ids"], **pixels(inputs))
    tiles = inputs["pixel_values"]
    assert torch.equal(ids, inputs["input_ids"].repeat_interleave(2, 0))
    assert torch.equal(expanded["pixel_values"], torch.cat([tiles[:3], tiles[:3], tiles[3:], tiles[3:]]))


def pixels(inputs):
    return {"pixel_values": inputs["pixel_values"]}


def test_text_alone_needs_no_tiles(loaded):
    model, processor = loaded
    inputs = processor(text=["which colour?", "red"])
    assert "pixel_values" not in inputs
    assert len(processor.answers(model.generate(**inputs, max_new_tokens=3), inputs)) == 2


def test_image_tokens_and_tiles_that_differ_are_refused(loaded, colour_pictures):
    model, processor = loaded
    inputs = processor(text="which colour?", images=colour_pictures["wide.png"])
    with pytest.raises(AerieError, match="12 image tokens in input_ids, but pixel_values has tiles for 0"):
        model.generate(inputs["input_ids"], max_new_tokens=2)
    with pytest.raises(AerieError, match="12 image tokens in input_ids, but pixel_values has tiles for 8"):
        model(inputs["input_ids"], inputs["pixel_values"][:2])


def test_the_configuration_survives_its_file(hf_folder, colour_checkpoint):
    config = AutoConfig.from_pretrained(hf_folder)
    assert isinstance(config, AerieConfig)
    assert config.model_settings == colour_checkpoint.model.settings
    assert config.get_text_config().num_hidden_layers == 2
    document = json.loads(Path(hf_folder, "config.json").read_text())
    assert "auto_map" not in document, "no remote code"


def test_another_attention_implementation_gives_the_same_logits(hf_folder, loaded, colour_pictures):
    inputs = loaded[1](text="which colour?", images=colour_pictures["red.png"])
    eager = AutoModelForImageTextToText.from_pretrained(hf_folder, attn_implementation="eager")
    assert eager.model.language.config._attn_implementation == "eager"
    with torch.no_grad():
        torch.testing.assert_close(eager(**inputs).logits, loaded[0](**inputs).logits, atol=1e-5, rtol=1e-5)
