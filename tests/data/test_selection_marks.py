import json

import numpy as np
import pytest

from data.curation.selection_marks import marked, with_keys
from data.schema import ImageRef, Turn, make_sample, samples_to_table, table_to_samples

METAS = [
    {}, {"task": "open"}, {"cluster": 7}, {"stages": ["old"], "z": {"stages": 1}}, {"note": 'says "cluster" } \\ "'},
    {"é": "ü", "n": [1, {"a": None}]}, {"nested": {"cluster": {"stages": []}}}, {"text": "}"},
]  # fmt: skip


@pytest.mark.parametrize("meta", METAS)
def test_keys_are_added_or_replaced(meta):
    added = {"cluster": 3, "stages": ("stage_1_5",)}
    text = with_keys(json.dumps(meta, sort_keys=True, ensure_ascii=False), added)
    assert json.loads(text) == {**meta, "cluster": 3, "stages": ["stage_1_5"]}
    assert json.loads(text, object_pairs_hook=len) == len({**meta, **added})  # no key twice


def test_rows_get_their_own_marks_and_images_pass():
    image = ImageRef(bytes=b"png", path="a.png", width=8, height=8)
    turns = (Turn(role="user", content="?"), Turn(role="assistant", content="!"))
    samples = [
        make_sample(source="s", category="science", images=(image,), conversations=turns, meta={"n": number})
        for number in range(3)
    ]
    table = marked(
        samples_to_table(samples), np.array([1, 0, 0], bool), np.array([1, 1, 0], bool), np.array([4, -1, 0], np.int32)
    )
    found = table_to_samples(table)
    assert [sample.meta["stages"] for sample in found] == [
        ["stage_1", "stage_1_5", "stage_2"], ["stage_1_5", "stage_2"], ["stage_1_5"],
    ]  # fmt: skip
    assert [sample.meta["cluster"] for sample in found] == [4, None, 0]
    assert [sample.meta["n"] for sample in found] == [0, 1, 2]
    assert all(sample.images == (image,) for sample in found)
