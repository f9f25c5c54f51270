"""Text in pictures, by their strokes."""

import io
import json

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw, ImageFont

from data.curation.filtering import filter_samples
from data.curation.strokes import asks_for_text, sample_strokes, text_strokes
from data.images import encode_png, image_ref
from data.schema import ImageRef, Turn, make_sample
from data.storage import Manifest, commit, read_attachment, write_samples

SENTENCE = "The harbour is closed until nine"


def canvas(paper="white"):
    return Image.new("RGB", (320, 120), paper)


def written(ink="black", paper="white", size=18):
    image = canvas(paper)
    ImageDraw.Draw(image).text((8, 40), SENTENCE, ink, font=ImageFont.load_default(size))
    return image


def shapes():
    image = canvas("skyblue")
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 20, 100, 100), fill="red")
    draw.rectangle((140, 30, 220, 90), fill="navy")
    draw.polygon([(240, 100), (300, 100), (270, 20)], fill="gold")
    return image


def gradient():
    return Image.fromarray(np.tile(np.linspace(0, 255, 320).astype(np.uint8), (120, 1))).convert("RGB")


def bars():
    image = canvas()
    draw = ImageDraw.Draw(image)
    for n, height in enumerate((30, 80, 55, 95)):
        draw.rectangle((30 + 70 * n, 110 - height, 70 + 70 * n, 110), fill="teal")
    return image


def strokes(image):
    return text_strokes(np.asarray(image.convert("L")))


@pytest.mark.parametrize(
    "image", [written(), written("white", "navy"), written(size=12), written("black", "khaki", 26)]
)
def test_text_has_strokes(image):
    assert strokes(image) >= 3


@pytest.mark.parametrize("image", [canvas(), shapes(), gradient(), bars(), canvas("black")])
def test_shapes_and_surfaces_have_none(image):
    assert strokes(image) == 0


def test_tiny_pictures_have_none():
    assert strokes(Image.new("L", (5, 3))) == 0


@pytest.mark.parametrize(
    ("question", "asks"),
    [
        ("Read the text.", True),
        ("What does the sign say?", True),
        ("Which words are printed?", True),
        ("Transcribe the label.", True),
        ("What text appears on the mug?", True),
        ("What color is the sign?", False),
        ("How many words does a haiku have?", False),
        ("Is there a circle?", False),
    ],
)
def test_which_questions_ask_for_text(question, asks):
    assert asks_for_text(question) == asks


def make(image, question):
    turns = (Turn(role="user", content="<image>\n" + question), Turn(role="assistant", content="nine"))
    return make_sample(source="mine", category="ocr_qa", images=(image,), conversations=turns, meta={})


def test_only_pictures_whose_question_asks_are_decoded():
    broken = ImageRef(bytes=b"not a picture", path="x", width=1, height=1)
    assert np.isnan(sample_strokes(make(broken, "What color is it?")))
    assert np.isnan(sample_strokes(make(broken, "Read the text.")))
    assert sample_strokes(make(image_ref(encode_png(written()), "a"), "Read the text.")) >= 3
    small = shapes().resize((64, 24))  # one letter could fill it
    assert np.isnan(sample_strokes(make(image_ref(encode_png(small), "a"), "Read the text.")))
    assert sample_strokes(make(image_ref(encode_png(shapes()), "a"), "Read the text.")) == 0


@pytest.mark.parametrize("wanted", [False, True])
def test_the_step_has_a_switch_for_it(tmp_path, wanted):
    pictures = [image_ref(encode_png(image), "a") for image in (written(), shapes())]
    samples = [make(picture, question) for picture in pictures for question in ("Read the text.", "What color is it?")]
    gate, out = str(tmp_path / "gate"), str(tmp_path / "filtering")
    shards = write_samples(gate, samples)
    commit(gate, Manifest(step="gate", fingerprint="g", recipe_sha256="", rows=4, shards=shards))
    recipe = tmp_path / "recipe.yaml"
    data = {"sources": [{"name": "mine"}], "filtering": {"measure_strokes": wanted}}
    recipe.write_text(yaml.safe_dump({"name": "t", "seed": 1, "data": data}))
    manifest = filter_samples(str(recipe), "", gate, out)
    assert ("strokes" in manifest.attachments) == wanted
    reasons = json.loads(io.BytesIO(read_attachment(out, manifest, "report")).read())["reasons"]
    assert {name: entry["count"] for name, entry in reasons.items()} == ({"no_text_in_image": 1} if wanted else {})
