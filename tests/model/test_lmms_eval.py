"""What the lmms-eval plugin does without lmms-eval: messages, options, batches and likelihoods."""

import copy
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.errors import AerieError
from data.schema import Turn, make_sample
from model.checkpoint import Checkpoint
from model.evaluation.predict import Answerer
from model.generation import Sampling, generate
from model.images import read_image
from model.inputs.encode import encode_prompt, encode_sample
from model.inputs.merge import merge
from model.likelihood import continuation_likelihoods
from model.lmms_eval.answering import Asked, answer_all, likelihoods
from model.lmms_eval.messages import encode_chat, placed, read_chat, read_simple
from model.lmms_eval.options import Options, read_options
from model.vlm import PackTensors

RED, BLUE, WIDE = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (70, 66), "blue"), Image.new("L", (140, 70), 99)
SHORT = Options(max_new_tokens=6)


ROOT = Path(__file__).resolve().parents[2]


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def image(picture: Image.Image) -> dict:
    return {"type": "image", "image": picture}


def user(*parts: dict) -> dict:
    return {"role": "user", "content": list(parts)}


def asked(words: str, *pictures: Image.Image) -> Asked:
    return Asked(name=words, conversation=lambda: read_simple(words, pictures))


QUESTIONS = [
    asked("which colour?", RED),
    asked("which colour?"),
    asked("which colour of the two?", RED, BLUE),
    asked("which colour?", BLUE),
    asked("which colour?", WIDE),
]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([image(RED), text("a<b>")], [image(RED), text("a<b>")]),
        ([image(RED), text("a <image> b")], [text("a "), image(RED), text(" b")]),
        (
            [image(RED), image(BLUE), text("<image>x"), text("y<image>")],
            [text(""), image(RED), text("x"), text("y"), image(BLUE), text("")],
        ),
        ([image(RED), image(BLUE), text("only <image> one")], [image(RED), image(BLUE), text("only  one")]),
        ([text("none <image> at all")], [text("none  at all")]),
    ],
)
def test_placeholders_in_a_text_place_the_images_or_go(parts, expected):
    assert placed(parts) == expected


def test_a_question_is_encoded_as_our_own_evaluation_does(colour_checkpoint):
    tokenizer, settings = colour_checkpoint.tokenizer, colour_checkpoint.model.settings
    expected = encode_prompt("<image>\n<image>\nwhich?", [read_image(RED), read_image(WIDE)], tokenizer, settings)
    simple = read_simple("which?", [RED, WIDE])
    chat = read_chat([user(image(RED), image(WIDE), text("which?"))])
    for conversation in (simple, chat):
        encoded = encode_chat(conversation, colour_checkpoint)
        assert encoded.input_ids.tolist() == expected.input_ids.tolist()
        assert np.array_equal(encoded.tiles, expected.tiles)
    assert encode_chat(read_simple("which?", None), colour_checkpoint).tiles.shape[0] == 0


def test_history_and_system_prompt_are_the_tasks(colour_checkpoint):
    history = [user(image(RED), text("which?")), {"role": "assistant", "content": [text("red")]}, user(text("sure?"))]
    system = {"role": "system", "content": [text("Be blue.")]}
    own, given = (encode_chat(read_chat([*start, *history]), colour_checkpoint) for start in ([], [system]))
    tokenizer, settings = colour_checkpoint.tokenizer, colour_checkpoint.model.settings
    decoded = tokenizer.decode(given.input_ids)
    assert decoded.startswith("<|im_start|>system\nBe blue.<|im_end|>")
    assert decoded.endswith("red<|im_end|>\n<|im_start|>user\nsure?<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer.decode(own.input_ids) == decoded.replace("Be blue.", settings.system_prompt)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([user({"type": "video", "video": "film.mp4"}, text("what?"))], "part of type 'video'"),
        ([user({"type": "audio", "audio": "song.mp3"}, text("<image>"))], "part of type 'audio'"),
        ([user(text("a")), {"role": "assistant", "content": [text("b")]}], "don't end with a user turn"),
        ([], "don't end with a user turn"),
        ([user(text("a")), user(text("b"))], "don't alternate"),
        ([user({"type": "image", "image": "/nowhere.png"}, text("a"))], "nowhere.png"),
    ],
)
def test_what_cannot_be_asked_is_explained(colour_checkpoint, messages, message):
    question = Asked(name="document 3 of task", conversation=lambda: read_chat(messages))
    with pytest.raises(AerieError, match=f"document 3 of task can't be asked: .*{message}"):
        answer_all(colour_checkpoint, [question], [SHORT], batch_size=1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Options(max_new_tokens=99)),
        ({"max_new_tokens": 16, "temperature": 0, "top_p": 1.0, "num_beams": 1, "do_sample": False}, 16),
        ({"max_gen_toks": 7, "until": "\n\n"}, Options(max_new_tokens=7, until=("\n\n",))),
        (
            {"until": ["a", "", "b"], "num_beams": None, "temperature": None},
            Options(max_new_tokens=99, until=("a", "b")),
        ),
        ({"temperature": 0.5, "top_p": None}, Sampling(temperature=0.5, seed=4)),
        ({"do_sample": True, "top_k": 5, "top_p": 0.9}, Sampling(top_k=5, top_p=0.9, seed=4)),
        ({"do_sample": False, "temperature": 1}, Options(max_new_tokens=99)),
        ({"do_sample": True, "temperature": 0}, Options(max_new_tokens=99)),
    ],
)
def test_generation_options_of_tasks(given, expected):
    if isinstance(expected, int):
        expected = Options(max_new_tokens=expected)
    if isinstance(expected, Sampling):
        expected = Options(max_new_tokens=99, sampling=expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_options(given, max_new_tokens=99, seed=4) == expected


def test_other_models_options_are_left_out_with_a_warning():
    with pytest.warns(UserWarning, match="'image_aspect_ratio' means nothing to this model"):
        assert read_options({"image_aspect_ratio": "original"}, max_new_tokens=9, seed=0) == Options(max_new_tokens=9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_beams": 4}, "no beam search"),
        ({"max_new_tokens": 0}, "give at least 1"),
        ({"max_new_tokens": "many"}, "max_new_tokens is 'many', not a number"),
        ({"temperature": -1}, "temperature is -1"),
    ],
)
def test_options_that_cannot_be_kept(given, message):
    with pytest.raises(AerieError, match=message):
        read_options(given, max_new_tokens=9, seed=0)


def test_an_answer_ends_before_the_first_stop():
    assert Options(max_new_tokens=1, until=("zz", "\n", "b")).cut("a b\nc") == "a "
    assert Options(max_new_tokens=1, until=("zz",)).cut("a b") == "a b"


@pytest.mark.parametrize("batch_size", [1, 2, 3, 99])
def test_answers_are_those_of_our_own_evaluation_in_the_order_asked(colour_checkpoint, batch_size, monkeypatch):
    monkeypatch.setattr("model.lmms_eval.answering.BATCHES_PER_WINDOW", 1)
    model, tokenizer = colour_checkpoint.model, colour_checkpoint.tokenizer
    longer = Options(max_new_tokens=9, until=("e",))
    answers = answer_all(colour_checkpoint, QUESTIONS * 2, [SHORT] * 5 + [longer] * 5, batch_size=batch_size)
    ends = Answerer(model, tokenizer, batch_size=1, max_new_tokens=1).end_ids
    for question, options, answer in zip(QUESTIONS * 2, [SHORT] * 5 + [longer] * 5, answers, strict=True):
        prompt = encode_chat(question.conversation(), colour_checkpoint)
        (row,) = generate(model, [prompt], end_ids=ends, max_new_tokens=options.max_new_tokens)
        assert answer.text == options.cut(tokenizer.decode(row))
        assert (answer.read_tokens, answer.written_tokens) == (len(prompt.input_ids), len(row))
    assert [answers[place].text for place in (0, 3, 5, 8)] == ["red", "blue", "r", "blu"]


def test_sampled_answers_depend_on_the_seed_alone(colour_checkpoint):
    options = [Options(max_new_tokens=6, sampling=Sampling(temperature=5.0, seed=seed)) for seed in (0, 0, 1)]
    for batch_size in (1, 3):
        answers = answer_all(colour_checkpoint, QUESTIONS[:1] * 3, options, batch_size=batch_size)
        first, again, other = (answer.text for answer in answers)
        assert first == again != other


def test_an_answer_ends_where_the_positions_do(colour_checkpoint):
    lengths = [len(encode_chat(question.conversation(), colour_checkpoint).input_ids) for question in QUESTIONS[:2]]
    model = copy.copy(colour_checkpoint.model)
    language = model.settings.language.model_copy(update={"max_positions": lengths[0] + 1})
    model.settings = model.settings.model_copy(update={"language": language})
    small = Checkpoint(model, colour_checkpoint.tokenizer)
    whole = answer_all(colour_checkpoint, QUESTIONS[:2], [SHORT] * 2, batch_size=2)
    answers = answer_all(small, QUESTIONS[:2], [SHORT] * 2, batch_size=2)
    assert answers[0].written_tokens == 1 < whole[0].written_tokens
    assert whole[0].text.startswith(answers[0].text)
    assert answers[1] == whole[1], "a neighbour's lack of room is not its own"
    with pytest.raises(AerieError, match=r"which colour of the two\? can't be asked: .* knows \d+ positions"):
        answer_all(small, QUESTIONS[2:3], [SHORT], batch_size=1)
    with pytest.raises(AerieError, match="its continuation is longer than the network's positions"):
        likelihoods(small, QUESTIONS[:1], ["red and blue"], batch_size=1)


def test_likelihoods_are_the_negated_losses_of_training(colour_checkpoint):
    """Training's own loss, summed over an answer and the end of its turn, in one pack without padding."""
    model, tokenizer = colour_checkpoint.model, colour_checkpoint.tokenizer
    cases = [((RED,), "red"), ((BLUE,), "red"), ((), "green or blue"), ((RED, WIDE), "a <box>1</box>")]
    prompts = [encode_chat(read_simple("which colour?", pictures), colour_checkpoint) for pictures, _ in cases]
    texts = [[*tokenizer.encode_markup(answer), tokenizer.im_end_id] for _, answer in cases]
    found = continuation_likelihoods(model, prompts, texts)
    for (pictures, answer), likelihood in zip(cases, found, strict=True):
        turns = (
            Turn(role="user", content="<image>\n" * len(pictures) + "which colour?"),
            Turn(role="assistant", content=answer),
        )
        sample = make_sample(
            source="s", category="c", images=tuple(map(read_image, pictures)), conversations=turns, meta={}
        )
        batch = merge([encode_sample(sample, tokenizer, model.settings)])
        weights = torch.from_numpy((batch.labels >= 0).astype(np.float32))
        with torch.inference_mode():
            loss = model(PackTensors.of(batch), weights)[0]
        assert likelihood.log_probability == pytest.approx(-float(loss), rel=1e-4)
    assert [likelihood.greedy for likelihood in found[:2]] == [True, False]
    assert continuation_likelihoods(model, [], []) == []
    (nothing,) = continuation_likelihoods(model, prompts[:1], [[]])
    assert (nothing.log_probability, nothing.greedy) == (0.0, True)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_right_choice_is_the_likeliest(colour_checkpoint, batch_size):
    choices = [" red", " green", " blue"]
    questions = [question for question in (QUESTIONS[0], QUESTIONS[3]) for _ in choices]
    found = likelihoods(colour_checkpoint, questions, choices * 2, batch_size=batch_size)
    scores = np.array([likelihood.log_probability for likelihood in found]).reshape(2, 3)
    assert scores.argmax(axis=1).tolist() == [0, 2]
    assert [likelihood.greedy for likelihood in found] == [True, False, False, False, False, True]


def test_the_plugin_and_its_pinned_version_are_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["lmms_eval.models"] == {"aerie": "model.lmms_eval.manifest:AERIE"}
    (pin,) = [package for package in project["optional-dependencies"]["lmms"] if package.startswith("lmms-eval==")]
    assert pin in (ROOT / "containers/lmms-eval.lock").read_text().splitlines()
    assert f"lmms-eval {pin.partition('==')[2]}" in (ROOT / "model/lmms_eval/__init__.py").read_text()
