"""Prediction sets: asked once, resumed after SIGKILL, never mixed, equal however they came about."""

import json
import shutil
from dataclasses import replace

import pytest
from kill_answers import check_tries, files_of, questions, see

from data.errors import AerieError
from data.storage import Manifest, commit, read_manifest
from model.checkpoint import save_checkpoint
from model.evaluation.prediction_store import (
    SetSettings,
    questions_hash,
    read_prediction_set,
    store_predictions,
)
from model.evaluation.predictions import Prediction, predicted

QUESTIONS = questions(10)
PER_SHARD = 4


def settings(**changed) -> SetSettings:
    asked = changed.pop("asked", QUESTIONS)
    whole = SetSettings(
        benchmark="colours", checkpoint="a" * 64, tokenizer="b" * 64, card="c" * 64, questions=len(asked),
        questions_sha256=questions_hash(asked), generation={"max_new_tokens": 4, "dtype": "float32"},
    )  # fmt: skip
    return replace(whole, **changed)


class Asker:
    """Answers by the question's number, and remembers what it was asked; breaks at the `breaks`-th call."""

    def __init__(self, breaks: int = -1, asked=QUESTIONS) -> None:
        self.breaks, self.calls, self.questions = breaks, [], asked

    def __call__(self, first, last, progress) -> list[Prediction]:
        if len(self.calls) == self.breaks:
            raise KeyboardInterrupt
        self.calls.append((first, last))
        progress.update(last - first)
        chosen = self.questions[first:last]
        return [predicted(one, f" {one.facts['number']}\n", checkpoint="a" * 64) for one in chosen]


def store(folder, asker=None, **changed):
    given = changed.get("asked", QUESTIONS)
    asker = asker or Asker(asked=given)
    return store_predictions(str(folder), settings(**changed), given, asker, questions_per_shard=PER_SHARD)


def test_a_set_holds_every_raw_output_and_what_it_was_asked_with(tmp_path):
    stored = store(tmp_path)
    assert stored == read_prediction_set(str(tmp_path))
    rows = list(stored.predictions())
    assert [(row.question_id, row.output) for row in rows] == [(f"colours/{n}", f" {n}\n") for n in range(10)]
    assert rows[3].images == (QUESTIONS[3].images[0].content_hash(),)
    assert rows[3].answered().facts == {"number": 3}
    manifest = read_manifest(str(tmp_path))
    assert [shard.rows for shard in manifest.shards] == [4, 4, 2]
    assert manifest.lineage == {"checkpoint": "a" * 64, "tokenizer": "b" * 64, "card": "c" * 64}
    document = json.loads((tmp_path / "settings.json").read_bytes())
    assert (document["questions"], document["generation"]["max_new_tokens"]) == (10, 4)


def test_an_interrupted_set_asks_only_the_rest_and_a_finished_one_nothing(tmp_path):
    first, second, third = Asker(breaks=2), Asker(), Asker()
    with pytest.raises(KeyboardInterrupt):
        store(tmp_path / "broken", first)
    with pytest.raises(AerieError, match="not finished; give the same aerie evaluate again"):
        read_prediction_set(str(tmp_path / "broken"))
    store(tmp_path / "broken", second)
    assert (first.calls, second.calls) == ([(0, 4), (4, 8)], [(8, 10)])
    store(tmp_path / "whole")
    assert files_of(tmp_path / "broken") == files_of(tmp_path / "whole")
    store(tmp_path / "broken", third)
    assert third.calls == []


def test_a_set_in_a_bucket_is_resumed_too(s3_uri):
    with pytest.raises(KeyboardInterrupt):
        store(s3_uri, Asker(breaks=1))
    second = Asker()
    assert len(list(store(s3_uri, second).predictions())) == 10
    assert second.calls == [(4, 8), (8, 10)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"checkpoint": "d" * 64}, r"checkpoint was aaaaaaaaaaaa…, is dddddddddddd…"),
        ({"generation": {"max_new_tokens": 8, "dtype": "float32"}}, r"generation\.max_new_tokens was 4, is 8"),
        ({"card": "e" * 64}, "card was cccccccccccc…, is eeeeeeeeeeee…"),
        ({"asked": QUESTIONS[:9]}, "questions was 10, is 9; questions_sha256 was"),
        ({"asked": [*QUESTIONS[:9], replace(QUESTIONS[9], answers=("blue",))]}, "questions_sha256 was"),
        ({"asked": [*QUESTIONS[:9], replace(QUESTIONS[9], images=QUESTIONS[0].images)]}, "questions_sha256 was"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_set_of_anything_else_is_refused_and_left_alone(tmp_path, changed, message, finished):
    if finished:
        store(tmp_path)
    else:
        with pytest.raises(KeyboardInterrupt):
            store(tmp_path, Asker(breaks=1))
    before = files_of(tmp_path)
    with pytest.raises(AerieError, match=message):
        store(tmp_path, **changed)
    assert files_of(tmp_path) == before


def test_a_shard_that_slipped_in_from_another_set_is_asked_anew(tmp_path):
    other, mine, asker = tmp_path / "other", tmp_path / "mine", Asker()
    store(other, checkpoint="f" * 64)
    with pytest.raises(KeyboardInterrupt):
        store(mine, Asker(breaks=1))
    shutil.copy(other / "shard-00001.parquet", mine)
    (mine / "shard-00002.parquet").write_bytes(b"PAR1 and then nothing")
    store(mine, asker)
    assert asker.calls == [(4, 8), (8, 10)]
    store(tmp_path / "whole")
    assert files_of(mine) == files_of(tmp_path / "whole")


def test_foreign_folders_damage_and_double_ids_are_named(tmp_path):
    step = tmp_path / "step"
    commit(str(step), Manifest(step="packing/stage_1", fingerprint="", recipe_sha256="", rows=0, shards=()))
    with pytest.raises(AerieError, match="holds the output of step 'packing/stage_1'; name another folder"):
        store(step)
    with pytest.raises(AerieError, match="holds no predictions"):
        read_prediction_set(str(step))
    with pytest.raises(AerieError, match=r"has 1 question ids twice, the first 'colours/0'"):
        store(tmp_path / "twice", asked=[*QUESTIONS, QUESTIONS[0]])
    torn = tmp_path / "torn"
    store(torn)
    (torn / "settings.json").write_text("{")
    with pytest.raises(AerieError, match=r"settings\.json is damaged"):
        read_prediction_set(str(torn))
    shard = tmp_path / "shard"
    stored = store(shard)
    (shard / "shard-00001.parquet").unlink()
    with pytest.raises(AerieError, match=r"shard .*shard-00001\.parquet is missing"):
        list(stored.predictions())


@pytest.fixture(scope="module")
def checkpoint(colour_checkpoint, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("checkpoint"))
    save_checkpoint(
        folder, colour_checkpoint.model, files={"tokenizer.json": colour_checkpoint.tokenizer.to_json().encode()}
    )
    return folder


def test_killed_at_every_write_a_set_never_asks_a_stored_question_again(checkpoint, tmp_path):
    seen = see(tmp_path, checkpoint=checkpoint, questions=11)
    check_tries(seen["tries"], 11)
    assert len(seen["tries"][0]["asked"]) == 0, "killed at its settings"
    assert files_of(seen["killed"]) == files_of(seen["whole"])
    outputs = {row.output for row in read_prediction_set(seen["whole"]).predictions()}
    assert {"red", "blue"} <= outputs, "the network must answer by what it sees"
