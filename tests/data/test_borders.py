"""The borders in the steps: a failed critical expectation writes its report, then the next step refuses."""

import json

import numpy as np
import pytest
import yaml

from data.curation.vectors import Embeddings, embedding_schema, embedding_table
from data.errors import AerieError
from data.ledger import Tally
from data.schema import Turn, make_sample
from data.steps import augment_samples, filter_samples, select_samples
from data.storage import Manifest, ShardWriter, commit, read_attachment, read_manifest, write_samples


def samples(count=8):
    return [
        make_sample(
            source="mine",
            category="text_only",
            images=(),
            conversations=(
                Turn(role="user", content=f"What is {i} plus {i}?"),
                Turn(role="assistant", content=f"That is {2 * i}, or so I was taught."),
            ),
            meta={},
        )
        for i in range(count)
    ]


class Chain:
    """A folder of steps after the gate; `set` writes the recipe."""

    def __init__(self, folder):
        self.folder, self.recipe = folder, str(folder / "r.yaml")
        self.set()

    def at(self, step):
        return str(self.folder / step)

    def set(self, **settings):
        data = {"sources": [{"name": "mine"}], **settings}
        (self.folder / "r.yaml").write_text(yaml.safe_dump({"name": "t", "seed": 1, "data": data}))

    def gate(self, rows):
        tally = Tally("gate")
        tally.take("mine", len(rows))
        tally.keep("mine", len(rows))
        shards = write_samples(self.at("gate"), rows)
        made = {"fingerprint": str(len(rows)), "recipe_sha256": "", "rows": len(rows), "shards": shards}
        commit(self.at("gate"), Manifest(step="gate", counts=tally.counts(), **made))

    def filter(self):
        return filter_samples(self.recipe, "", self.at("gate"), self.at("filtering"))

    def select(self):
        return select_samples(self.recipe, "", self.at("filtering"), self.at("embedding"), self.at("selection"))

    def augment(self):
        return augment_samples(self.recipe, "", self.at("selection"), self.at("augmentation"))

    def report(self, step):
        manifest = read_manifest(self.at(step))
        assert b"<html" in read_attachment(self.at(step), manifest, "docs")
        return json.loads(read_attachment(self.at(step), manifest, "expectations"))


@pytest.fixture
def chain(tmp_path):
    """Rows that passed the gate, with vectors that no strategy here looks at."""
    made = Chain(tmp_path)
    made.gate(samples())
    rows, vectors = samples(), np.ones((8, 4), dtype=np.float32) / 2
    embeddings = Embeddings(
        sample_ids=[row.sample_id for row in rows],
        sources=[row.source for row in rows],
        categories=[row.category for row in rows],
        pictures=["" for _ in rows],
        images=vectors,
        texts=vectors,
    )
    writer = ShardWriter(made.at("embedding"), embedding_schema(4, 4))
    writer.write_table(embedding_table(embeddings))
    done = {"fingerprint": "e", "recipe_sha256": "", "rows": len(rows), "shards": writer.close()}
    commit(made.at("embedding"), Manifest(step="embedding", **done))
    return made


def test_good_rows_cross_both_borders(chain):
    chain.filter()
    chain.select()
    assert chain.augment().rows == 8
    assert chain.report("filtering")["suite"] == "measured"
    assert chain.report("selection")["suite"] == "selected"
    assert {row["group"] for row in chain.report("selection")["facts"]} == {"category text_only", "source mine"}


def test_filters_that_drop_nearly_all_are_stopped_by_selection_until_the_recipe_allows_it(chain):
    limits = {"filtering": {"max_answer_chars": 30}}
    chain.set(**limits, expectations={"max_drop_share": 0.3, "min_rows_judged": 5})
    manifest = chain.filter()
    assert 0 < manifest.rows < 8 * 0.7
    assert not chain.report("filtering")["success"]
    with pytest.raises(AerieError, match=r"(?s)filtering failed on 1 of .*drop_share_below_limit: fails for mine: 0\."):
        chain.select()
    chain.set(**limits, expectations={"max_drop_share": 0.9, "min_rows_judged": 5})
    assert chain.filter().fingerprint != manifest.fingerprint
    assert chain.select().rows == manifest.rows


def test_a_repeated_row_stops_at_the_first_border_and_at_the_second(chain):
    chain.gate([*samples(), samples()[0]])
    chain.filter()
    with pytest.raises(AerieError, match="sample_id_unique"):
        chain.select()
    filtered = read_manifest(chain.at("filtering"))
    commit(chain.at("filtering"), Manifest(**{**fields(filtered), "step": "elsewhere", "attachments": {}}))
    chain.select()
    with pytest.raises(AerieError, match=r"(?s)selection failed on 1 of .*sample_id_unique"):
        chain.augment()


def fields(manifest):
    return {name: getattr(manifest, name) for name in Manifest.__slots__}


def test_a_step_without_its_border_is_refused(chain):
    filtered = chain.filter()
    commit(chain.at("filtering"), Manifest(**{**fields(filtered), "attachments": {}}))
    with pytest.raises(AerieError, match="no attachment 'expectations'"):
        chain.select()
