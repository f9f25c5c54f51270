import numpy as np
import pyarrow.parquet as pq
import pytest

from data.curation.embedding_benchmarks import HELDOUT, benchmark_sets
from data.errors import AerieError
from data.recipe import DataRecipe
from data.registry.sourcing import parquet_bytes
from data.schema import Turn, make_sample, samples_to_table
from data.storage import Manifest, attach, commit, write_samples


def make(question):
    turns = (Turn(role="user", content=question), Turn(role="assistant", content="yes"))
    return make_sample(source="s", category="text_only", images=(), conversations=turns, meta={})


ONE, TWO, THREE, FOUR = (make(f"question {number}") for number in range(4))


@pytest.fixture
def sets(tmp_path):
    """The sets of a recipe whose validation step held ONE out."""

    def call(*benchmarks, heldout=(ONE,), **gate):
        folder = str(tmp_path / "validation")
        made = {"step": "validation", "fingerprint": "v", "recipe_sha256": "", "rows": 0, "shards": ()}
        kept = attach(folder, "heldout.parquet", parquet_bytes(samples_to_table(list(heldout))))
        manifest = commit(folder, Manifest(**made, attachments={"heldout": kept}))
        data = {"sources": [{"name": "s"}], "gate": {"benchmarks": benchmarks, **gate}}
        return benchmark_sets(DataRecipe(name="t", seed=1, data=data), folder, manifest)

    return call


def ids(found):
    return [key for table in found.tables() for key in table["sample_id"].to_pylist()]


def test_files_folders_and_steps_are_sets_beside_the_heldout_one(sets, tmp_path):
    step, folder = str(tmp_path / "step"), tmp_path / "folder"
    shards = write_samples(step, [TWO, THREE], rows_per_shard=1)
    commit(step, Manifest(step="x", fingerprint="x", recipe_sha256="", rows=2, shards=shards))
    (folder / "deep").mkdir(parents=True)
    pq.write_table(samples_to_table([FOUR]), folder / "b.parquet")
    pq.write_table(samples_to_table([TWO]), folder / "deep" / "c.parquet")
    (folder / "read.me").write_text("not data")
    found = sets(step, f"{folder}/", f"{folder}/b.parquet")
    assert [(item.name, ids(item)) for item in found] == [
        (HELDOUT, [ONE.sample_id]),
        ("step", [TWO.sample_id, THREE.sample_id]),
        ("folder", [FOUR.sample_id, TWO.sample_id]),
        ("b", [FOUR.sample_id]),
    ]
    assert len({item.identity for item in found}) == 4


def test_the_identity_follows_the_content(sets, tmp_path):
    path = tmp_path / "b.parquet"
    pq.write_table(samples_to_table([FOUR]), path)
    before, again = sets(str(path))[1], sets(str(path))[1]
    assert before.identity == again.identity
    pq.write_table(samples_to_table([TWO]), path)
    assert sets(str(path))[1].identity != before.identity
    with pytest.raises(AerieError, match=r"b.parquet changed while it was read"):
        ids(before)
    assert sets(heldout=[TWO])[0].identity != sets()[0].identity


def test_nothing_is_read_when_decontamination_is_off(sets):
    assert sets("/no/such/place", decontaminate="none") == []


def test_sets_in_object_storage(sets, s3_uri):
    shards = write_samples(f"{s3_uri}/bench", [TWO])
    commit(f"{s3_uri}/bench", Manifest(step="x", fingerprint="x", recipe_sha256="", rows=1, shards=shards))
    shard = f"{s3_uri}/bench/{shards[0].path}"
    found = sets(f"{s3_uri}/bench", shard)
    assert [ids(item) for item in found[1:]] == [[TWO.sample_id]] * 2
    with pytest.raises(AerieError, match=r"nothing at s3://.*/absent; expected"):
        sets(f"{s3_uri}/absent")


def test_an_empty_heldout_set_is_a_set_of_no_rows(sets):
    (found,) = sets(heldout=[])
    assert np.size(ids(found)) == 0
