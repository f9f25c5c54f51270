import json
import random
from collections import Counter

import numpy as np
import pytest

from data.curation.selection import select_samples
from data.curation.vectors import Embeddings, embedding_schema, embedding_table
from data.errors import AerieError
from data.ledger import Tally
from data.schema import ImageRef, Turn, make_sample
from data.storage import (
    Manifest,
    ShardWriter,
    commit,
    read_attachment,
    read_manifest,
    read_samples,
    write_samples,
)

RECIPE = """
name: test
seed: 3
data:
  sources: [{name: easy-vqa}]
  selection:
    categories:
      chart_table: {strategy: kmeans, clusters: 3, quota: 12}
      text_only: {strategy: random, quota: 4}
    stage_1_share: 0.25
"""


def vectors_of(groups, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.eye(3, 8)
    vectors = centres[groups] + 0.05 * rng.normal(size=(len(groups), 8))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def samples_of(category, count):
    turns = (Turn(role="user", content="What is it?"), Turn(role="assistant", content="A bar chart."))
    image = ImageRef(bytes=b"png", path="a.png", width=8, height=8)
    return [
        make_sample(
            source=f"src-{category}",
            category=category,
            images=() if category == "text_only" else (image,),
            conversations=(*turns, Turn(role="user", content=str(number)), Turn(role="assistant", content="Yes.")),
            meta={},
        )
        for number in range(count)
    ]


def step(folder, name, shards, rows, counts=()):
    return commit(
        folder,
        Manifest(step=f"made {name}", fingerprint=name, recipe_sha256="", rows=rows, shards=shards, counts=counts),
    )


@pytest.fixture
def run(tmp_path):
    """A filtering and an embedding step: 30 charts in three uneven groups, 8 scenes, 10 texts."""
    samples = samples_of("chart_table", 30) + samples_of("general_vqa", 8) + samples_of("text_only", 10)
    filtering, embedding = str(tmp_path / "filtering"), str(tmp_path / "embedding")
    tally = Tally("filtering")
    for sample in samples:
        tally.take(sample.source)
        tally.keep(sample.source)
    step(filtering, "filtering", write_samples(filtering, samples), len(samples), tally.counts())
    images = np.zeros((48, 8), np.float32)
    images[:38] = vectors_of([0] * 22 + [1] * 5 + [2] * 3 + [0] * 8)
    embeddings = Embeddings(
        sample_ids=[sample.sample_id for sample in samples],
        sources=[sample.source for sample in samples],
        categories=[sample.category for sample in samples],
        pictures=["" for _ in samples],
        images=images,
        texts=vectors_of([number % 3 for number in range(48)]),
    )
    writer = ShardWriter(embedding, embedding_schema(8, 8))
    writer.write_table(embedding_table(embeddings))
    step(embedding, "embedding", writer.close(), 48)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    return str(recipe), filtering, embedding, str(tmp_path / "selection")


def test_stages_clusters_and_ledger(run):
    recipe, filtering, embedding, out = run
    manifest = select_samples(recipe, "", filtering, embedding, out)
    samples = list(read_samples(out, manifest))
    assert len(samples) == 48
    assert all("stage_1_5" in sample.meta["stages"] for sample in samples)
    stage_2 = Counter(s.category for s in samples if "stage_2" in s.meta["stages"])
    assert stage_2 == {"chart_table": 12, "general_vqa": 8, "text_only": 4}
    assert Counter(s.category for s in samples if "stage_1" in s.meta["stages"]) == {
        "chart_table": 8,
        "general_vqa": 2,
        "text_only": 2,
    }
    charts = [s for s in samples if s.category == "chart_table"]
    drawn = Counter(s.meta["cluster"] for s in charts if "stage_2" in s.meta["stages"])
    assert sorted(drawn.values()) == [3, 4, 5]  # the group of 22 gives as much as the group of 5
    assert all(s.meta["cluster"] is None for s in samples if s.category != "chart_table")
    assert sum(count.rows_out for count in manifest.counts) == 48


def test_report_matches_the_draw(run):
    recipe, filtering, embedding, out = run
    manifest = select_samples(recipe, "", filtering, embedding, out)
    report = json.loads(read_attachment(out, manifest, "report"))
    charts = report["categories"]["chart_table"]
    assert sorted(charts["before"]) == [3, 5, 22]
    assert sum(charts["after"]) == charts["kept"] == 12
    assert charts["coverage"] == 1.0
    ids = {s.sample_id for s in read_samples(out, manifest)}
    shown = [name for entry in charts["mosaic"] for name in entry["sample_ids"]]
    assert shown
    assert set(shown) <= ids
    assert report["stages"]["stage_2"]["text_only"] == 4


def test_the_second_call_finds_the_work_done(run):
    recipe, filtering, embedding, out = run
    one = select_samples(recipe, "", filtering, embedding, out)
    assert select_samples(recipe, "", filtering, embedding, out) == one == read_manifest(out)


def shuffled(run, tmp_path, seed):
    """The same samples in other shards and another order."""
    _, filtering, *_ = run
    samples = list(read_samples(filtering))
    random.Random(seed).shuffle(samples)
    other = str(tmp_path / f"shuffled-{seed}")
    step(other, "filtering", write_samples(other, samples, 7), len(samples), read_manifest(filtering).counts)
    return other


@pytest.mark.parametrize("seed", [1, 2])
def test_other_shards_in_another_order_give_the_same_set(run, tmp_path, seed):
    recipe, filtering, embedding, out = run
    other = shuffled(run, tmp_path, seed)
    one, two = (select_samples(recipe, "", place, embedding, f"{out}{place[-1]}") for place in (filtering, other))
    marks = [
        {sample.sample_id: sample.meta for sample in read_samples(f"{out}{place[-1]}", manifest)}
        for place, manifest in ((filtering, one), (other, two))
    ]
    assert marks[0] == marks[1]
    reports = [read_attachment(f"{out}{place[-1]}", m, "report") for place, m in ((filtering, one), (other, two))]
    assert reports[0] == reports[1]


def test_rows_of_another_category_change_nothing(run, tmp_path):
    recipe, filtering, embedding, out = run
    select_samples(recipe, "", filtering, embedding, out)
    more, place = [*read_samples(filtering), *samples_of("science", 20)], str(tmp_path / "more")
    step(place, "filtering", write_samples(place, more), len(more))
    select_samples(recipe, "", place, embedding, f"{out}-more")
    marks = {sample.sample_id: sample.meta for sample in read_samples(f"{out}-more")}
    assert all(marks[sample.sample_id] == sample.meta for sample in read_samples(out))


def test_images_and_texts_pass_untouched(run):
    recipe, filtering, embedding, out = run
    select_samples(recipe, "", filtering, embedding, out)
    for before, after in zip(read_samples(filtering), read_samples(out), strict=True):
        assert (before.images, before.conversations) == (after.images, after.conversations)
        assert set(after.meta) - set(before.meta) == {"stages", "cluster"}


def test_source_quotas_stand_in_the_report_and_in_the_rows(run, tmp_path):
    _, filtering, embedding, out = run
    path = tmp_path / "quotas.yaml"
    keys = "    source_target: 4\n    source_quotas: {src-text_only: 7}\n"
    path.write_text(RECIPE + keys)
    manifest = select_samples(str(path), "", filtering, embedding, out)
    report = json.loads(read_attachment(out, manifest, "report"))
    sources = {entry["source"]: entry for entry in report["sources"]}
    assert (sources["src-text_only"]["rule"], sources["src-text_only"]["kept"]) == ("explicit", 7)  # wins over 4
    assert (sources["src-general_vqa"]["rule"], sources["src-general_vqa"]["kept"]) == ("law", 6)  # 4 * sqrt(8 / 4)
    assert sources["src-chart_table"]["quota"] == sources["src-chart_table"]["kept"] == 11  # 4 * sqrt(30 / 4)
    drawn = Counter(s.source for s in read_samples(out, manifest) if "stage_2" in s.meta["stages"])
    assert drawn == {"src-text_only": 7, "src-general_vqa": 6, "src-chart_table": 11}


def test_a_quota_for_an_unknown_source_is_refused(run, tmp_path):
    _, filtering, embedding, out = run
    path = tmp_path / "quotas.yaml"
    path.write_text(RECIPE + "    source_quotas: {nobody: 7}\n")
    with pytest.raises(AerieError, match="nobody"):
        select_samples(str(path), "", filtering, embedding, out)


def test_a_sample_without_embedding_is_named(run):
    recipe, filtering, embedding, out = run
    extra = samples_of("chart_table", 31)[-1:]
    step(filtering, "filtering", write_samples(filtering, extra), 1)
    with pytest.raises(AerieError, match=f"sample {extra[0].sample_id} has no embedding"):
        select_samples(recipe, "", filtering, embedding, out)
