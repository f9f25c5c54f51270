"""Question and image together, by embeddings."""

import json

import numpy as np
import pytest
import yaml

from data.curation.filtering import filter_samples
from data.curation.relevance import neighbour_agreement, relevance
from data.curation.vectors import Embeddings, embedding_table
from data.errors import AerieError
from data.schema import ImageRef, Turn, make_sample
from data.settings.filtering import FilterSettings
from data.storage import Manifest, ShardWriter, commit, read_attachment, read_samples, write_samples

TOPICS, PER_TOPIC = 6, 40


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def world():
    """Images and questions of six topics, in unlike spaces of 32 and 12 dimensions; the last ten rows are shuffled."""
    chance = np.random.default_rng(3)
    topic = np.tile(np.arange(TOPICS), PER_TOPIC)
    images = unit(chance.normal(size=(TOPICS, 32))[topic] + 0.3 * chance.normal(size=(len(topic), 32)))
    texts = unit(np.eye(12)[topic] + 0.1 * chance.normal(size=(len(topic), 12)))
    texts[-10:] = texts[(topic[-10:] + 3) % TOPICS]  # questions of another topic
    samples = [
        make_sample(
            source="mine",
            category="general_vqa",
            images=(ImageRef(bytes=b"x", path="x", width=1, height=1),),
            conversations=(Turn(role="user", content=f"question {n}?"), Turn(role="assistant", content="a dog")),
            meta={},
        )
        for n in range(len(topic))
    ]
    return samples, images, texts


def embedded(samples, images, texts):
    return Embeddings(
        sample_ids=[sample.sample_id for sample in samples],
        sources=[sample.source for sample in samples],
        categories=[sample.category for sample in samples],
        pictures=[""] * len(samples),
        images=images,
        texts=texts,
    )


def test_agreement_is_high_for_what_belongs_together_and_low_for_what_doesn_t(world):
    _, images, texts = world
    scores = neighbour_agreement(images, texts, np.arange(len(texts)), np.arange(len(texts)))
    assert scores[:-10].min() > 0.5 > 0.4 > scores[-10:].max()
    assert scores[-10:].mean() < 0
    assert np.median(scores[:-10]) > 0.7


def test_chance_is_zero_and_few_images_say_nothing(world):
    _, images, _ = world
    noise = unit(np.random.default_rng(1).normal(size=(len(images), 12)))
    assert abs(neighbour_agreement(images, noise, np.arange(len(images)), np.arange(len(images))).mean()) < 0.05
    assert np.isnan(neighbour_agreement(images, noise, np.arange(240), np.arange(20))).all()


def test_the_score_is_that_of_a_loop(world, monkeypatch):
    _, images, texts = world
    monkeypatch.setattr("data.curation.relevance.BLOCK", 7)
    references = np.arange(0, len(texts), 2)
    scores = neighbour_agreement(images, texts, np.arange(len(texts)), references, neighbours=5)
    for row in (0, 3, 8, 239):
        others = [r for r in references if r != row]
        near = sorted(others, key=lambda r: -images[row] @ images[r])[:5]
        said = texts[row] @ texts[others].T
        chances = [np.mean((said < texts[row] @ texts[r]) + 0.5 * (said == texts[row] @ texts[r])) for r in near]
        assert scores[row] == pytest.approx(2 * np.mean(chances) - 1, abs=0.01)


def test_the_order_of_the_rows_doesn_t_matter_and_no_image_is_unknown(world, monkeypatch):
    samples, images, texts = world
    images = images.copy()
    images[5] = 0
    monkeypatch.setattr("data.curation.relevance.REFERENCES", 100)
    found = relevance(embedded(samples, images, texts), FilterSettings(), 1)
    turned = relevance(embedded(samples[::-1], images[::-1], texts[::-1]), FilterSettings(), 1)[::-1]
    np.testing.assert_allclose(found, turned, atol=2e-3)
    assert np.isnan(found[5])
    assert np.isnan(found).sum() == 1


def test_encoders_of_one_space_give_their_cosine(world):
    samples, images, texts = world
    joint = FilterSettings(image_text_space="joint")
    scores = relevance(embedded(samples, images, np.roll(images, 1, axis=0)), joint, 1)
    np.testing.assert_allclose(scores, (images * np.roll(images, 1, axis=0)).sum(axis=1), atol=1e-6)
    with pytest.raises(AerieError, match="32 and 12 numbers"):
        relevance(embedded(samples, images, texts), joint, 1)


@pytest.fixture
def step(world, tmp_path):
    """The filtering step on the samples and their embeddings; keyword arguments are filter settings."""
    samples, images, texts = world
    at = {name: str(tmp_path / name) for name in ("gate", "embedding", "filtering")}
    shards = write_samples(at["gate"], samples, 100)
    commit(at["gate"], Manifest(step="gate", fingerprint="g", recipe_sha256="", rows=len(samples), shards=shards))
    table = embedding_table(embedded(samples, images, texts))
    writer = ShardWriter(at["embedding"], table.schema)
    writer.write_table(table)
    commit(
        at["embedding"],
        Manifest(step="embedding", fingerprint="e", recipe_sha256="", rows=len(samples), shards=writer.close()),
    )

    def call(**settings):
        recipe = tmp_path / "recipe.yaml"
        data = {"sources": [{"name": "mine"}], "filtering": settings}
        recipe.write_text(yaml.safe_dump({"name": "t", "seed": 1, "data": data}))
        return filter_samples(str(recipe), "", at["gate"], at["filtering"], at["embedding"])

    call.out = at["filtering"]
    return call


def test_the_step_drops_what_doesn_t_belong_only_when_asked(step, world, monkeypatch):
    samples = world[0]
    first = step()
    assert first.rows == len(samples)
    assert set(first.attachments) >= {"measures", "relevance", "dropped", "report"}

    def never(*arguments):
        raise AssertionError("measured again")

    monkeypatch.setattr("data.curation.relevance.read_embeddings", never)
    second = step(min_image_text_relevance=0.45)
    assert second.attachments["relevance"] == first.attachments["relevance"]
    assert [s.sample_id for s in read_samples(step.out)] == [s.sample_id for s in samples[:-10]]
    report = json.loads(read_attachment(step.out, second, "report"))
    assert report["reasons"]["irrelevant_image"]["count"] == 10
    assert report["reasons"]["irrelevant_image"]["examples"][0]["detail"].startswith("relevance = ")
