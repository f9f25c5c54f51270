import json
import shutil
from math import cos, radians, sin
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from data.curation.embedding import embed_samples
from data.curation.gate import gate_sources
from data.curation.gate_pool import ExistingPool
from data.curation.gate_scores import decide, judge_sources
from data.curation.vectors import Embeddings, read_embeddings
from data.errors import AerieError
from data.images import encode_png, image_ref
from data.ledger import StepCount
from data.registry.sourcing import parquet_bytes
from data.schema import Turn, make_sample, samples_to_table, table_to_samples
from data.settings.gate import GateSettings
from data.storage import Manifest, attach, commit, parquet_table, read_attachment, read_samples, write_samples

SOURCES = ["first", "copy", "other", "empty"]


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
def step(tmp_path, monkeypatch):
    """Embedding with real encoders, and the gate, on samples that the validation step wrote."""

    def call(samples=SAMPLES, layout=2048, embed=True, heldout=(), gate=None, tokens=32, sources=SOURCES):
        validation, recipe = call.validation, str(tmp_path / "recipe.yaml")
        made = {"step": "validation", "fingerprint": "v", "recipe_sha256": "", "rows": len(samples), "counts": (GONE,)}
        shards = write_samples(validation, samples, layout)
        kept = attach(validation, "heldout.parquet", parquet_bytes(samples_to_table(list(heldout))))
        commit(validation, Manifest(**made, shards=shards, attachments={"heldout": kept}))
        data = {"rows_per_shard": 4, "sources": [{"name": name} for name in sources], "gate": gate or {}}
        data["embedding"] = {"image_size": 32, "max_text_tokens": tokens}
        Path(recipe).write_text(yaml.safe_dump({"name": "t", "seed": 1, "data": data}))
        if embed:
            embed_samples(recipe, "", validation, call.embedding)
        manifest = gate_sources(recipe, "", validation, call.embedding, call.out)
        return manifest, json.loads(read_attachment(call.out, manifest, "report"))

    call.out, call.embedding = str(tmp_path / "gate"), str(tmp_path / "embedding")
    call.validation = str(tmp_path / "validation")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
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


def test_a_category_can_have_thresholds_of_its_own():
    settings = GateSettings(flag_above=0.5, reject_above=0.9, categories={"science": {"reject_above": 0.99}})
    assert decide(0.95, settings, "science") == "flag"
    assert decide(0.95, settings, "general_vqa") == "reject"
    embeddings = on_a_circle("aabb", "sgsg", [0, 0, 12, 12])
    decisions = {(e["source"], e["category"]): e["decision"] for e in judge_sources(embeddings, ["a", "b"], settings)}
    assert decisions["b", "science"] == "flag"
    assert decisions["b", "general_vqa"] == "reject"
    with pytest.raises(ValueError, match=r"must not exceed reject_above in categories.science"):
        GateSettings(categories={"science": {"reject_above": 0.1}})


def test_the_existing_pool_comes_before_all_sources_but_not_before_itself():
    old = on_a_circle("ooob", "sgss", [3, 50, 88, 0])
    existing = ExistingPool(embeddings=old, rows=np.array([0, 1, 2, 3]), uri="old")
    new = on_a_circle("aabb", "ssss", [0, 80, 1, 45])
    first, second = judge_sources(new, ["a", "b"], GateSettings(reject_above=1), existing=existing)
    assert first["score"] == pytest.approx(nearest([0, 80], [3, 88]), abs=1e-6)
    assert second["score"] == pytest.approx(nearest([1, 45], [3, 88, 0, 80]), abs=1e-6)
    assert (first["pool_rows"], second["pool_rows"]) == (2, 4)
    assert [(n["sample_id"], n["nearest_id"], n["nearest_from"], n["nearest_source"]) for n in first["neighbours"]] == [
        ("a0", "o3", "pool", "o"),
        ("a80", "o88", "pool", "o"),
    ]
    assert second["neighbours"][0]["nearest_from"] == "run"


def test_only_some_rows_of_a_pool_count():
    old = on_a_circle("oo", "ss", [0, 60])
    existing = ExistingPool(embeddings=old, rows=np.array([1]), uri="old")
    (entry,) = judge_sources(on_a_circle("a", "s", [0]), ["a"], GateSettings(), existing=existing)
    assert entry["score"] == pytest.approx(0.5, abs=1e-6)


def test_the_comparison_across_categories_is_a_seeded_sample_or_none(monkeypatch):
    monkeypatch.setattr("data.curation.gate_scores.OTHERS_PER_ROW", 3)
    texts = np.random.default_rng(1).integers(0, 360, 60).tolist()
    embeddings = on_a_circle("a" * 30 + "b" * 30, "s" * 30 + "g" * 30, texts)
    turned = on_a_circle(("a" * 30 + "b" * 30)[::-1], ("s" * 30 + "g" * 30)[::-1], texts[::-1])

    def score(vectors, rows, seed=1):
        entry = judge_sources(vectors, ["a", "b"], GateSettings(cross_category_rows=rows), seed=seed)[0]
        return entry["cross_category_score"], entry["cross_category_rows"], entry["cross_category_sampled"]

    assert score(embeddings, 0) == (None, None, False)
    assert score(embeddings, 30) == (pytest.approx(nearest(texts[:30], texts[30:]), abs=1e-6), [30, 30], False)
    few = score(embeddings, 4)
    assert few[1:] == ([4, 12], True)
    assert few == score(turned, 4) != score(embeddings, 4, seed=2)


def test_rows_like_the_heldout_set_or_a_benchmark_go(step, tmp_path):
    asked_before = make(1, "What is on card 1?", "1 squares", "first", touched=True)  # another encoding, another id
    other_answer = make(2, "What is on card 2?", "nothing", "first", touched=True)
    words = (Turn(role="user", content="Who are you?"), Turn(role="assistant", content="A rug."))
    talk = make_sample(source="talk", category="text_only", images=(), conversations=words, meta={"split": "test"})
    same_talk = make_sample(source="other", category="text_only", images=(), conversations=words, meta={})
    (tmp_path / "sets").mkdir()
    pq.write_table(samples_to_table([talk]), tmp_path / "sets" / "talk.parquet")
    rugs = str(tmp_path / "rugs")
    shards = write_samples(rugs, [make(23, "Please name a colour of rug 23.", "red", "bench", touched=True)])
    commit(rugs, Manifest(step="x", fingerprint="x", recipe_sha256="", rows=1, shards=shards))
    settings = {"benchmarks": [f"{tmp_path}/sets/talk.parquet", rugs]}
    rows = {"samples": [*FIRST, *OTHER, same_talk], "heldout": [asked_before, other_answer]}
    manifest, report = step(**rows, gate=settings)
    assert list(read_samples(step.out, manifest)) == [FIRST[0], *FIRST[2:], *OTHER[:3]]
    found = report["contamination"]
    assert found["sets"] == {"heldout": 2, "talk": 1, "rugs": 1}
    assert found["by_source"] == {"first": {"heldout": 1}, "other": {"rugs": 1, "talk": 1}}
    pairs = [(item["sample_id"], item["benchmark"], item["benchmark_id"]) for item in found["examples"]]
    assert pairs[0] == (FIRST[1].sample_id, "heldout", asked_before.sample_id)
    dropped = {count.source: count.dropped for count in manifest.counts}
    assert dropped["other"] == {"benchmark_contamination": 2}
    shown = table_to_samples(parquet_table(read_attachment(step.out, manifest, "examples")))
    assert {sample.sample_id for sample in shown} == {pair[2] for pair in pairs}
    _, loose = step(**rows, gate={**settings, "decontaminate_turns": "any"})
    assert loose["contamination"]["count"] == 4
    manifest, off = step(**rows, gate={**settings, "decontaminate": "none"})
    assert (manifest.rows, off["contamination"]["count"]) == (11, 0)


def test_benchmarks_that_are_missing_broken_or_changed_are_user_errors(step, tmp_path):
    with pytest.raises(AerieError, match=r"nothing at /no/such.parquet; expected FILE.parquet"):
        step(gate={"benchmarks": ["/no/such.parquet"]})
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(AerieError, match=r"broken.parquet is no readable Parquet file"):
        step(gate={"benchmarks": [f"{tmp_path}/broken.parquet"]})
    pq.write_table(pa.table({"question": ["?"]}), tmp_path / "other.parquet")
    with pytest.raises(AerieError, match=r"other.parquet holds no samples: .*expected the columns \['sample_id'"):
        step(gate={"benchmarks": [f"{tmp_path}/other.parquet"]})
    with pytest.raises(AerieError, match=r"the names \['other'\] .* occur more than once"):
        step(gate={"benchmarks": [f"{tmp_path}/other.parquet", f"{tmp_path}/./other.parquet"]})
    good = {"benchmarks": [f"{tmp_path}/good.parquet"]}
    pq.write_table(samples_to_table([NEAR]), tmp_path / "good.parquet")
    step(gate=good)
    pq.write_table(samples_to_table([FIRST[0]]), tmp_path / "good.parquet")
    with pytest.raises(AerieError, match=r"differ from those .* embedded; embed again"):
        step(gate={**good, "flag_above": 0.7}, embed=False)


def test_a_pool_from_an_earlier_version(step, tmp_path):
    old = [make(seed, f"What is on card {seed}?", f"{seed} squares", "old") for seed in range(6)]
    step(old, sources=["old", "empty"])
    shutil.copytree(step.embedding, tmp_path / "v1" / "embedding")
    shutil.copytree(step.out, tmp_path / "v1" / "gate")
    pool = {"pool": f"{tmp_path}/v1/embedding", "pool_rows": f"{tmp_path}/v1/gate"}
    manifest, report = step([*COPY, *OTHER], gate=pool)
    assert list(read_samples(step.out, manifest)) == OTHER
    assert report["pool"] == {"uri": pool["pool"], "rows": 6, "rows_of_this_recipes_sources": 0}
    shown = table_to_samples(parquet_table(read_attachment(step.out, manifest, "examples")))
    assert {sample.sample_id for sample in shown} <= {sample.sample_id for sample in old}
    assert shown
    with pytest.raises(AerieError, match=r"was embedded otherwise than this run \(max_text_tokens differ\)"):
        step([*COPY, *OTHER], gate=pool, tokens=16)
    with pytest.raises(AerieError, match=r"no row of .* is embedded in"):
        step([*COPY, *OTHER], gate={**pool, "pool_rows": step.validation})


def test_gate_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="give `pool`"):
        GateSettings(pool_rows="x")
