import numpy as np
import pytest

from data.curation.quotas import SourceQuota
from data.curation.row_views import Float32Rows
from data.curation.seeded_order import seeded_ranks
from data.curation.selection_draw import Rows, choose, within_quotas
from data.registry.rows import seeded_rank
from data.settings.selection import CategorySelection


def rows_of(groups, sources=None):
    """Rows around three directions, each with an id of its own."""
    noise = 0.05 * np.random.default_rng(0).normal(size=(len(groups), 8))
    vectors = (np.eye(3, 8)[groups] + noise).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.array([f"id{number:03d}".encode() for number in range(len(groups))])
    view = Float32Rows.whole(vectors)
    return Rows(ids=ids, sources=np.array(sources or ["a"] * len(groups)), images=view, texts=view)


def quota(source, rows, count, rule="law"):
    return {source: SourceQuota(source=source, rows=rows, quota=count, rule=rule, auto_labelled=False)}


def test_many_ranks_are_the_single_ones():
    ids = ["a", "é", "x" * 32]
    found = seeded_ranks(5, "stage_2", [name.encode() for name in ids])
    assert found.tolist() == [seeded_rank(5, "stage_2", name) for name in ids]


@pytest.mark.parametrize("strategy", ["all", "random", "kmeans", "coverage"])
def test_a_quota_above_the_supply_takes_everything(strategy):
    settings = CategorySelection(strategy=strategy, clusters=9, quota=100)
    assert choose(rows_of([0, 1, 2, 0, 1]), settings, share=1, seed=1).stage_2.all()


def test_a_source_quota_is_drawn_evenly_over_the_clusters():
    rows = rows_of([0] * 30 + [1] * 6 + [2] * 4 + [0] * 5, ["a"] * 40 + ["b"] * 5)
    settings = CategorySelection(strategy="kmeans", clusters=3)
    choice = choose(rows, settings, share=0.5, seed=1, quotas=quota("a", 40, 12))
    drawn = choice.cluster[choice.stage_2 & (rows.sources == "a")]
    assert sorted(np.bincount(drawn).tolist()) == [4, 4, 4]
    assert choice.stage_2[rows.sources == "b"].all()


def test_explicit_quotas_are_not_cut_by_the_category():
    sources = np.array(["a"] * 10 + ["b"] * 10)
    chosen = within_quotas(lambda rows, count: rows[:count], sources, quota("a", 10, 8, "explicit"), 9)
    assert (sources[chosen] == "a").sum() == 8
    assert len(chosen) == 9
    over = within_quotas(lambda rows, count: rows[:count], sources, quota("a", 10, 8, "explicit"), 5)
    assert (sources[over] == "a").sum() == len(over) == 8


def test_row_views_read_what_they_name(tmp_path):
    matrix = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float16)
    np.save(tmp_path / "m.npy", matrix)
    view = Float32Rows(np.load(tmp_path / "m.npy", mmap_mode="r"), np.array([7, 8, 9, 3, 40]))
    assert view[:].dtype == np.float32
    assert np.array_equal(view[:], matrix[[7, 8, 9, 3, 40]])
    assert np.array_equal(np.concatenate([block for _, block in view.blocks(2)]), view[:])
