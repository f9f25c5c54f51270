"""A conversation with a checkpoint: right answers, a history, pieces that add up, clear refusals."""

import pytest
import torch

from data.errors import AerieError
from data.schema import Turn
from model.chat import Chat, ChatOptions
from model.generation import generate
from model.images import read_image
from model.inputs.conversation import encode_conversation


def test_it_names_the_colour_of_the_picture(colour_checkpoint, colour_pictures):
    for name, colour in (("red.png", "red"), ("blue.jpg", "blue")):
        pieces: list[str] = []
        answer = Chat(colour_checkpoint, [colour_pictures[name]]).ask("which colour?", pieces.append)
        assert answer == colour
        assert "".join(pieces) == answer


def test_later_questions_see_the_picture_and_the_history(colour_checkpoint, colour_pictures):
    chat = Chat(colour_checkpoint, [colour_pictures["wide.png"]], ChatOptions(max_new_tokens=9))
    first, second = chat.ask("which colour?"), chat.ask("and now?")
    texts = ("<image>\nwhich colour?", first, "and now?")
    turns = [Turn(role=("user", "assistant")[number % 2], content=text) for number, text in enumerate(texts)]
    prompt = encode_conversation(turns, chat.images, colour_checkpoint.tokenizer, colour_checkpoint.model.settings)
    end = colour_checkpoint.tokenizer.im_end_id
    (expected,) = generate(colour_checkpoint.model, [prompt], end_ids=[end], max_new_tokens=9)
    assert second == colour_checkpoint.tokenizer.decode(expected)
    assert [turn.content for turn in chat.turns] == [*texts, second]


def test_equal_seeds_draw_equal_answers(colour_checkpoint, colour_pictures):
    def drawn(seed: int, temperature: float = 5.0) -> str:
        options = ChatOptions(max_new_tokens=12, temperature=temperature, seed=seed)
        return Chat(colour_checkpoint, [colour_pictures["red.png"]], options).ask("which colour?")

    assert drawn(1) == drawn(1)
    assert len({drawn(seed) for seed in range(4)}) > 1
    assert {drawn(seed, 0.01) for seed in range(4)} == {"red"}


def test_characters_of_several_bytes_come_whole(colour_checkpoint, monkeypatch):
    """The tokenizer knows no such character: its bytes are tokens of their own."""
    tokenizer = colour_checkpoint.tokenizer
    written = tokenizer.encode("né 数")
    assert len(written) > len("né 数")
    monkeypatch.setattr("model.chat.generate_stream", lambda *_, **__: iter([*written, written[-1]]))
    pieces: list[str] = []
    answer = Chat(colour_checkpoint, []).ask("?", pieces.append)
    assert answer == "né 数\ufffd", "a lone byte at the end is shown as what it is"
    assert "".join(pieces) == answer
    assert {"é", "数"} <= {piece.strip() for piece in pieces}


def test_what_cannot_be_asked_is_explained(colour_checkpoint, colour_pictures):
    chat = Chat(colour_checkpoint, [colour_pictures["red.png"]])
    with pytest.raises(AerieError, match="the question is empty"):
        chat.ask(" \n")
    with pytest.raises(AerieError, match="2 <image> placeholders, 1 images"):
        chat.ask("<image> <image>")
    with pytest.raises(AerieError, match=r"may have 256, but the network knows 512 positions; ask for fewer"):
        chat.ask("long " * 300)
    assert chat.turns == [], "a refused question leaves no trace"
    with pytest.raises(AerieError, match=r"file not found: nowhere\.png"):
        Chat(colour_checkpoint, ["nowhere.png"])


def test_it_runs_where_the_accelerator_is(colour_checkpoint, colour_pictures):
    chat = Chat(colour_checkpoint, [read_image(colour_pictures["red.png"])])
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert chat.model.language.device.type == expected
