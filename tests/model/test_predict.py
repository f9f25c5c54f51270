"""Answers of a real small network: as if each question were asked alone, while each image is seen once."""

import pytest
import torch
from PIL import Image

from data.errors import AerieError
from data.images import encode_png, image_ref
from data.schema import ImageRef
from model.config import ModelSettings
from model.evaluation.predict import Answerer
from model.evaluation.questions import Question
from model.graph_decoding import GraphDecoder
from model.inputs.encode import encode_prompt
from model.inputs.tokens import ChatTokenizer, train_bpe
from model.vlm import build_model

SETTINGS = ModelSettings.model_validate(
    {
        "tiling": {"tile_size": 32, "max_tiles": 2},
        "siglip": {"hidden_size": 16, "intermediate_size": 32, "num_layers": 1, "num_heads": 2, "patch_size": 8},
        "convnext": {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 16], "image_size": 64},
        "language": {"hidden_size": 32, "intermediate_size": 64, "num_layers": 2, "num_heads": 4, "num_kv_heads": 2},
        "initialisation": "fan_in",
    }
)
MAX_NEW_TOKENS = 5


@pytest.fixture(scope="module")
def answerer() -> Answerer:
    tokenizer = ChatTokenizer(train_bpe(["what colour is it?", "is it a very large shape?", "red", "blue"] * 9, 320))
    model = build_model(SETTINGS, tokenizer.vocab_size, tokenizer.image_context_id, seed=3)
    with torch.no_grad():
        for parameter in model.language.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.5, generator=torch.Generator().manual_seed(len(parameter)))
    return Answerer(model, tokenizer, batch_size=3, max_new_tokens=MAX_NEW_TOKENS)


def picture(colour: str, width: int = 32) -> ImageRef:
    return image_ref(encode_png(Image.new("RGB", (width, 32), colour)), f"{colour}-{width}.png")


def ask(text: str, *images: ImageRef, source: str = "shapes") -> Question:
    return Question(
        question_id="q", sample_id="s", source=source, category="general_vqa", task="color", answer_type="open",
        prompt="<image>\n" * len(images) + text, answer="red", images=images,
        image_key="+".join(image.content_hash() for image in images), rule="exact", answers=("red",),
    )  # fmt: skip


PICTURES = [picture(colour, width) for width in (32, 64) for colour in ("red", "green", "blue", "white", "black")]
TEXTS = ["what colour is it?", "is it a very large shape?", "what?"]
QUESTIONS = [ask(text, image) for text in TEXTS for image in PICTURES] + [
    ask("what?"),
    ask("do both show the same?", PICTURES[0], PICTURES[5], source="pairs"),
]


def alone(answerer: Answerer, question: Question, blind: bool) -> str:
    """The reference: one question, the whole sequence again for every token, no cache of any kind."""
    model, tokenizer = answerer.model, answerer.tokenizer
    sample = encode_prompt(question.prompt, question.images, tokenizer, SETTINGS, blind=blind)
    ids = torch.from_numpy(sample.input_ids)
    start = len(ids)
    with torch.inference_mode():
        for _ in range(MAX_NEW_TOKENS):
            embedded = model.embed(ids.to(answerer.device), torch.from_numpy(sample.tiles).to(answerer.device))
            chosen = int(model.language(inputs_embeds=embedded[None]).logits[0, -1].argmax())
            if chosen == tokenizer.im_end_id:
                break
            ids = torch.cat([ids, torch.tensor([chosen])])
    return tokenizer.decode(ids[start:].tolist())


@pytest.mark.parametrize("blind", [False, True])
def test_batches_answer_like_each_question_alone_and_in_the_order_asked(answerer, blind):
    outputs = answerer.answers(QUESTIONS, blind=blind, label="test")
    assert outputs == [alone(answerer, question, blind) for question in QUESTIONS]
    if not blind:
        assert len(set(outputs)) > len(PICTURES), "the network must look at the images for this test to mean anything"


def test_blinded_questions_differ_by_text_and_image_size_only(answerer):
    small = answerer.answers([ask("what?", image) for image in PICTURES[:5]], blind=True, label="test")
    assert len(set(small)) == 1


@pytest.mark.parametrize(("blind", "tiles"), [(False, 5 * 1 + 5 * 3), (True, 1 + 3)])
def test_each_image_goes_through_the_towers_once(answerer, blind, tiles):
    seen = []
    handle = answerer.model.vision.register_forward_hook(lambda _, arguments, __: seen.append(len(arguments[0])))
    try:
        answerer.answers(QUESTIONS[:30] * 2, blind=blind, label="test")
    finally:
        handle.remove()
    assert sum(seen) == tiles
    assert max(seen) <= answerer.batch_size


def test_images_of_an_earlier_window_are_forgotten_but_nothing_changes(answerer, monkeypatch):
    expected = answerer.answers(QUESTIONS, blind=False, label="test")
    monkeypatch.setattr("model.evaluation.predict.BATCHES_PER_WINDOW", 2)
    assert answerer.answers(QUESTIONS, blind=False, label="test") == expected


def test_no_questions_no_answers(answerer):
    assert answerer.answers([], blind=False, label="test") == []


def test_progress_names_the_step_and_counts_questions(answerer, capsys):
    answerer.answers(QUESTIONS, blind=False, label="evaluation stage_1")
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"evaluation stage_1  {len(QUESTIONS)}/{len(QUESTIONS)}")


def test_a_question_whose_images_do_not_fit_is_named(answerer):
    broken = ask("<image> again?", PICTURES[0])
    with pytest.raises(AerieError, match=r"question q of 'shapes' can't be asked: .*2 <image> placeholders, 1 images"):
        answerer.answers([broken], blind=False, label="test")


@pytest.mark.parametrize("blind", [False, True])
def test_the_gpus_way_gives_the_same_answers_in_the_same_order(answerer, blind, monkeypatch):
    """Pictures by several threads, decoding in fixed places; only that the steps aren't captured."""
    expected = answerer.answers(QUESTIONS, blind=blind, label="test")
    monkeypatch.setattr(answerer, "threads", 4)
    steps = GraphDecoder(answerer.model.language, max_rows=3, capture=False, cache_bytes=1 << 22)
    monkeypatch.setattr(answerer.decoding, "decoder", steps)
    assert answerer.answers(QUESTIONS, blind=blind, label="test") == expected
    assert steps._steps, "the decoder was asked"


def test_a_limit_of_tokens_shortens_the_answers_of_one_call(answerer):
    whole = answerer.answers(QUESTIONS, blind=False)
    short = answerer.answers(QUESTIONS, blind=False, limit=1)
    assert answerer.answers(QUESTIONS, blind=False, limit=MAX_NEW_TOKENS) == whole
    assert all(one.startswith(first.rstrip("\ufffd")) for one, first in zip(whole, short, strict=True))
    assert sum(map(len, short)) < sum(map(len, whole))
