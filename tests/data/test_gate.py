import json
from math import cos, radians, sin
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.curation.embedding import embed_samples
from data.curation.gate import decide, gate_sources, judge_sources
from data.curation.vectors import Embeddings, read_embeddings
from data.errors import AerieError
from data.images import encode_png, image_ref
from data.ledger import StepCount
from data.schema import Turn, make_sample
from data.settings.gate import GateSettings
from data.storage import Manifest, commit, read_attachment, read_samples, write_samples

RECIPE = """{name: t, seed: 1, data: {rows_per_shard: 4, embedding: {image_size: 32},
             sources: [{name: first}, {name: copy}, {name: other}, {name: empty}]}}"""


def on_a_circle(sources, categories, texts):
    """Rows with one and the same picture, and texts at angles in degrees: Eq. 1 is a mean of cosines."""
    return Embeddings(
        sample_ids=[f"{source}{angle}" for source, angle in zip(sources, texts, strict=True)],
        sources=list(sources),
        categories=[{"s": "science", "g": "general_vqa"}[letter] for letter in categories],
        pictures=["same"] * len(texts),
        images=np.ones((len(texts), 1), np.float32),
        texts=np.array([(cos(radians(angle)), sin(radians(angle))) for angle in texts], np.float32),
    )


def nearest(new, pool):
    return sum(max(cos(radians(a - b)) for b in pool) for a in new) / len(new)


@pytest.mark.parametrize(("score", "decision"), [(None, "admit"), (0.5, "admit"), (0.9, "flag"), (0.91, "reject")])
def test_a_score_above_a_threshold_decides(score, decision):
    assert decide(score, GateSettings(flag_above=0.5, reject_above=0.9)) == decision


def test_the_pool_is_what_earlier_sources_brought_into_the_category():
    angles = {"b": [1, 42], "a": [0, 40], "c": [70, 80], "d": [2, 43], "e": [75, 84]}
    embeddings = on_a_circle("bbaaccddee", "ssssssggss", [angle for pair in angles.values() for angle in pair])
    entries = judge_sources(embeddings, ["a", "b", "c", "d", "e", "absent"], GateSettings(flag_above=0.8))
    decisions = [(entry["source"], entry["decision"]) for entry in entries]
    assert decisions == list(zip("abcde", ["admit", "reject", "flag", "admit", "reject"], strict=True))
    # The first of a category has no pool; the pool of c lacks the rejected b; the pool of e holds the flagged c.
    for entry, pool in zip(entries, ["", "a", "a", "", "ac"], strict=True):
        own, inside = angles[entry["source"]], [angle for name in pool for angle in angles[name]]
        across = [angle for name in angles if name != entry["source"] for angle in angles[name]]
        assert entry["score"] == (pytest.approx(nearest(own, inside), abs=1e-6) if pool else None)
        assert entry["cross_category_score"] == pytest.approx(nearest(own, across), abs=1e-6)


def test_neighbours_are_the_most_similar_rows_with_their_nearest():
    embeddings = on_a_circle("aabbbbbbb", "sssssssss", [0, 90, 30, 89, 59, 3, 170, 10, 45])
    entry = judge_sources(embeddings, ["a", "b"], GateSettings())[1]
    shown = [(item["sample_id"], item["nearest_id"]) for item in entry["neighbours"]]
    assert shown == [("b89", "a90"), ("b3", "a0"), ("b10", "a0"), ("b30", "a0"), ("b59", "a90")]
    assert entry["neighbours"][1]["similarity"] == pytest.approx(cos(radians(3)), abs=1e-6)


def test_a_source_that_the_recipe_does_not_list_is_a_user_error():
    with pytest.raises(AerieError, match=r"\['b'\] are embedded but not in the recipe"):
        judge_sources(on_a_circle("ab", "ss", [0, 1]), ["a"], GateSettings())


def make(seed, question, answer, source, touched=False):
    pixels = np.kron(np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8), np.ones((9, 9, 1), np.uint8))
    pixels[0, 0] ^= touched
    image = image_ref(encode_png(Image.fromarray(pixels)), f"{seed}.png")
    turns = (Turn(role="user", content=f"<image>\n{question}"), Turn(role="assistant", content=answer))
    return make_sample(source=source, category="general_vqa", images=(image,), conversations=turns, meta={})


FIRST = [make(seed, f"What is on card {seed}?", f"{seed} squares", "first") for seed in range(6)]
COPY = [make(seed, f"What is on card {seed}?", f"{seed} tiles", "copy", touched=True) for seed in range(6)]
OTHER = [make(seed, f"Please name a colour of rug {seed}.", "red", "other") for seed in range(20, 24)]
NEAR = make(21, "Please name a colour of rug 21.", "red", "other", touched=True)
SAME_AGAIN = make(3, "What is on card 3?", "3 squares", "other")  # another source, hence another id
NEW_ANSWER = make(22, "Please name a colour of rug 22.", "blue", "other")
SAMPLES = [*FIRST, *COPY, *OTHER, NEAR, SAME_AGAIN, NEW_ANSWER]
GONE = StepCount(source="empty", rows_in=2, rows_out=0, dropped={"corrupt_image": 2})


@pytest.fixture
def step(tmp_path):
    """Embedding with real encoders, and the gate, on samples that the validation step wrote."""

    def call(samples=SAMPLES, layout=2048, embed=True):
        validation, recipe = str(tmp_path / "validation"), str(tmp_path / "recipe.yaml")
        made = {"step": "validation", "fingerprint": "v", "recipe_sha256": "", "rows": len(samples), "counts": (GONE,)}
        commit(validation, Manifest(**made, shards=write_samples(validation, samples, layout)))
        Path(recipe).write_text(RECIPE)
        if embed:
            embed_samples(recipe, "", validation, call.embedding)
        manifest = gate_sources(recipe, "", validation, call.embedding, call.out)
        return manifest, json.loads(read_attachment(call.out, manifest, "report"))

    call.out, call.embedding = str(tmp_path / "gate"), str(tmp_path / "embedding")
    return call


def test_a_copied_source_and_near_duplicates_go_and_the_rest_is_untouched(step):
    manifest, report = step()
    assert list(read_samples(step.out, manifest)) == [*FIRST, *OTHER, NEW_ANSWER]
    linked = [(item["sample_id"], item["kept_id"], item["exact"]) for item in report["near_duplicates"]["examples"]]
    assert linked == [(NEAR.sample_id, OTHER[1].sample_id, False), (SAME_AGAIN.sample_id, FIRST[3].sample_id, True)]
    assert [(count.source, count.rows_in, count.rows_out, count.dropped) for count in manifest.counts] == [
        ("copy", 6, 0, {"gate_rejected": 6}),
        ("empty", 0, 0, {}),
        ("first", 6, 6, {}),
        ("other", 7, 5, {"near_duplicate": 2}),
    ]
    stored = read_embeddings(step.embedding)  # and Eq. 1 again, from the vectors on disk
    best = ((stored.images @ stored.images[:6].T) * (stored.texts @ stored.texts[:6].T)).max(axis=1)
    expected = pytest.approx([best[6:12].mean(), best[12:].mean()], abs=1e-5)
    assert [entry["score"] for entry in report["sources"][1:]] == expected


@pytest.mark.parametrize("layout", [1, 5])
def test_the_layout_of_shards_changes_nothing(step, layout):
    (one, report), (other, other_report) = step(), step(layout=layout)
    assert (one.shards, one.counts, report) == (other.shards, other.counts, other_report)


def test_a_second_call_does_nothing_and_vectors_of_other_samples_are_refused(step):
    manifest, _ = step()
    Path(step.out, "shard-00000.parquet").unlink()  # it would come back
    assert step()[0] == manifest
    assert not Path(step.out, "shard-00000.parquet").exists()
    with pytest.raises(AerieError, match="differ in their rows; run the embedding again"):
        step(SAMPLES[::-1], embed=False)
