"""Samples survive Arrow, and their id depends on content alone."""

from data.schema import ImageRef, Turn, make_sample, samples_to_table, table_to_samples


def sample(answer="red", payload=b"png", **meta):
    return make_sample(
        source="s",
        category="general_vqa",
        images=(ImageRef(bytes=payload, path="a.png", width=2, height=3),),
        conversations=(Turn(role="user", content="<image>\nq"), Turn(role="assistant", content=answer)),
        meta=meta,
    )


def test_table_round_trip():
    rows = [sample(), sample("blue", note="ünïcode")]
    assert table_to_samples(samples_to_table(rows)) == rows


def test_the_id_is_content_and_not_meta():
    assert sample().sample_id == sample(extra=1).sample_id
    assert len({sample().sample_id, sample("blue").sample_id, sample(payload=b"other").sample_id}) == 3


def test_turn_borders_cannot_be_forged():
    def two(first, second):
        turns = (Turn(role="user", content=first), Turn(role="assistant", content=second))
        return make_sample(source="s", category="text_only", images=(), conversations=turns, meta={}).sample_id

    assert two("ab", "c") != two("a", "bc")
