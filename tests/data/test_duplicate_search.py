import numpy as np

from data.curation.duplicate_search import duplicate_report, duplicates_among, turn_keys
from data.curation.vectors import Embeddings


def rows(texts):
    """Rows with one and the same picture and the given text vectors."""
    return Embeddings(
        sample_ids=[f"id{row}" for row in range(len(texts))],
        sources=["made"] * len(texts),
        categories=["science"] * len(texts),
        pictures=["same"] * len(texts),
        images=np.ones((len(texts), 1), np.float32),
        texts=np.array(texts, np.float32),
    )


def test_an_unseen_key_forgets_the_first_question_and_a_whole_key_nothing():
    roles, letters = ("user", "assistant", "user"), ("qa", "pa", "qb", "qaq", "qa", "qa")
    talks = [[{"role": role, "content": text} for role, text in zip(roles, row, strict=False)] for row in letters]
    unseen, whole = turn_keys(talks, ["x", "x", "x", "x", "x", "y"], 32)
    assert [unseen.index(key) for key in unseen] == [0, 0, 2, 3, 0, 0]
    assert [whole.index(key) for key in whole] == [0, 1, 2, 3, 0, 5]


def test_an_unseen_key_holds_what_the_vectors_leave_out():
    asked = ["abcdef", "abcdxx", "abcd", "Abcd"]
    talks = [[{"role": "user", "content": f"<image> {text}"}, {"role": "assistant", "content": "a"}] for text in asked]
    unseen, _ = turn_keys(talks, ["x"] * 4, 4)
    assert [unseen.index(key) for key in unseen] == [0, 1, 2, 2]
    unseen, _ = turn_keys([talks[3]] * 5, ["x+y", "y+x", "x", "y", "x+x"], 4)
    assert [unseen.index(key) for key in unseen] == [0, 1, 2, 2, 4]


def test_duplicates_are_sought_among_the_admitted_only():
    embeddings, keys = rows([(1, 0), (1, 0), (1, 0), (0, 1), (1, 0)]), (["yes"] * 5, list("vwxyz"))
    found = duplicates_among(embeddings, np.array([1, 3, 4]), keys, 0.99)
    assert [(item.row, item.kept) for item in found] == [(4, 1)]


def test_the_report_names_both_samples_and_counts_by_source():
    embeddings, keys = rows([(1, 0), (1, 0), (1, 0)]), (["yes"] * 3, ["v", "v", "w"])
    report = duplicate_report(embeddings, duplicates_among(embeddings, np.arange(3), keys, 0.9), 0.9)
    assert (report["count"], report["exact"], report["by_source"]) == (2, 1, {"made": 2})
    assert [(item["sample_id"], item["kept_id"]) for item in report["examples"]] == [("id1", "id0"), ("id2", "id0")]
