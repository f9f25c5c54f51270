"""Reasoning and long answers by a real server process, through the whole augmentation step."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from openai_server import KEY, KEY_NAME
from PIL import Image

from data.curation.augmentation import augment_samples
from data.curation.endpoint.service import AnswerService
from data.curation.rewriting.rewriter import HELD_SAMPLES, Rewriter
from data.errors import AerieError
from data.images import encode_png, image_ref
from data.ledger import Tally
from data.schema import ImageRef, Turn, make_sample
from data.settings.augmentation import AugmentationSettings
from data.storage import Manifest, commit, read_attachment, read_samples, write_samples

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [{"name": "digits"}]


def sample_of(number):
    """Two pairs about a picture: a sum and a colour; each fourth sample has a dialogue without picture instead."""
    if number % 4 == 3:
        turns = (Turn(role="user", content="Hello!"), Turn(role="assistant", content="Hello to you, and what is new?"))
        return make_sample(
            source="talk", category="text_only", images=(), conversations=turns, meta={"task": "dialogue"}
        )
    pairs = [(f"<image>\nWhat is {number} + {number}?", str(2 * number)), (f"Is figure {number} red?", "yes")]
    turns = tuple(turn for q, a in pairs for turn in (Turn(role="user", content=q), Turn(role="assistant", content=a)))
    picture = Image.new("RGB", (16, 16), (number % 256, 0, 0))
    return make_sample(
        source="pictures",
        category="mathematics",
        images=(image_ref(encode_png(picture), f"{number}.png"),),
        conversations=turns,
        meta={"tasks": ["sum", "yes_no"]},
    )


@pytest.fixture(scope="module")
def selection(tmp_path_factory):
    return committed(str(tmp_path_factory.mktemp("selection")), [sample_of(number) for number in range(40)])


def committed(out, samples):
    tally = Tally("selection")
    for sample in samples:
        tally.take(sample.source)
        tally.keep(sample.source)
    shards, counts = write_samples(out, samples, 16), tally.counts()
    commit(out, Manifest(step="s", fingerprint="s", recipe_sha256="", rows=len(samples), shards=shards, counts=counts))
    return out


def recipe_at(folder, url, endpoint=None, **augmentation):
    quick = {"first_pause_seconds": 0.002, "longest_pause_seconds": 0.01, "timeout_seconds": 5.0, "concurrency": 4}
    if url:
        place = {"url": url, "model": "m", "api_key_env": KEY_NAME, "cache_uri": str(folder / "cache")}
        augmentation["endpoint"] = {**place, **quick, **(endpoint or {})}
    data = {"sources": SOURCES, "rows_per_shard": 16, "augmentation": augmentation}
    path = folder / f"recipe-{len(list(folder.glob('recipe-*')))}.yaml"
    path.write_text(yaml.safe_dump({"name": "t", "seed": 7, "data": data}))
    return str(path)


def augmented(folder, selection, url, name="out", **settings):
    """(samples, report, manifest)"""
    out = str(folder / name)
    with redirect_stdout(io.StringIO()):
        manifest = augment_samples(recipe_at(folder, url, **settings), "", selection, out)
    return list(read_samples(out, manifest)), json.loads(read_attachment(out, manifest, "report")), manifest


def entries(sample):
    return sample.meta.get("augmentation", [])


def test_reasoning_becomes_one_more_turn_with_its_provenance(llm, selection, tmp_path):
    after, report, manifest = augmented(tmp_path, selection, llm.url, cot={})
    before = list(read_samples(selection))
    assert [sample.sample_id for sample in after] == [sample.sample_id for sample in before]
    assert not any(count.gap() or count.rows_added or count.dropped for count in manifest.counts)
    for old, new in zip(before, after, strict=True):
        assert new.conversations[: len(old.conversations)] == old.conversations
        if old.source == "talk":
            assert new == old
            continue
        assert new.meta["tasks"] == ["sum", "yes_no", "cot", "cot"]
        for number, entry in enumerate(entries(new)):
            question, answer = new.conversations[4 + 2 * number : 6 + 2 * number]
            known = old.conversations[1 + 2 * number].content
            assert question.content == old.conversations[2 * number].content.removeprefix("<image>\n")
            assert answer.content.endswith(f"\nAnswer: {known}")
            fixed = {"kind": "cot", "mode": "add_turn", "model": "m", "host": llm.at, "checked": True}
            assert fixed.items() <= entry.items()
            assert (entry["pair"], entry["original_answer"]) == (number, known)
            assert len(entry["request"]) == 64
            assert entry["usage"]["completion_tokens"] > 10
    counts = {name: report["rewrites"]["cot"][name] for name in ("status", "fitting", "chosen", "accepted")}
    assert counts == {"status": "done", "fitting": 60, "chosen": 60, "accepted": 60}
    assert len(llm.requests()) == 60
    assert all(request["images"] == 1 for request in llm.requests())
    assert report["endpoint"]["answers"] == 60
    assert json.loads((tmp_path / "out/traffic.json").read_text()) == {"requests": 60}


def test_replaced_answers_keep_the_conversations_length(llm, selection, tmp_path):
    settings = {"cot": {"share": 0.0, "tasks": {"sum": 1.0}, "mode": "replace"}}
    settings |= {"long_answer": {"tasks": {"sum": 0.0}, "mode": "replace"}}
    after, report, _ = augmented(tmp_path, selection, llm.url, **settings)
    first = after[1]
    assert first.meta["tasks"] == ["cot", "long_answer"]
    assert first.conversations[0].content == "<image>\nWhat is 1 + 1?"
    assert first.conversations[1].content.endswith("\nAnswer: 2")
    assert first.conversations[3].content.startswith("Yes, that is so")
    assert [entry["original_answer"] for entry in entries(first)] == ["2", "yes"]
    assert report["rewrites"]["long_answer"]["accepted"] == report["rewrites"]["cot"]["accepted"] == 30


def test_a_pair_is_replaced_once(llm, selection, tmp_path):
    both = {"cot": {"mode": "replace"}, "long_answer": {"mode": "replace"}}
    after, report, _ = augmented(tmp_path, selection, llm.url, **both)
    assert all(set(sample.meta["tasks"]) == {"cot"} for sample in after if sample.source == "pictures")
    assert report["rewrites"]["long_answer"]["accepted"] == 0


def test_shares_are_seeded_and_by_task_before_category(llm, selection, tmp_path):
    settings = {"share": 1.0, "categories": {"mathematics": 0.5}, "tasks": {"yes_no": 0.0}}
    after, report, _ = augmented(tmp_path, selection, llm.url, cot=settings)
    chosen = [sample.sample_id for sample in after if entries(sample)]
    assert 8 < len(chosen) == report["rewrites"]["cot"]["chosen"] < 22
    backwards = committed(str(tmp_path / "backwards"), list(read_samples(selection))[::-1])
    again, _, _ = augmented(tmp_path, backwards, llm.url, name="again", cot=settings)
    assert {s.sample_id: s for s in again} == {s.sample_id: s for s in after}
    assert len(llm.requests()) == len(chosen)


def test_rules_come_first_and_are_not_rewritten(llm, tmp_path):
    sample = sample_of(1)
    sample = replace(sample, meta={**sample.meta, "text": "two words"})
    selection = committed(str(tmp_path / "in"), [sample])
    after, _, _ = augmented(tmp_path, selection, llm.url, rules={"ocr_count_words": 1.0}, cot={})
    assert after[0].meta["tasks"] == ["sum", "yes_no", "count_words", "cot", "cot"]
    assert [entry.get("rule", entry.get("kind")) for entry in entries(after[0])] == ["ocr_count_words", "cot", "cot"]


REJECTED = {
    "wrong": "wrong_answer",
    "refusal": "refusal",
    "refusal_field": "refusal",
    "length": "cut_off",
    "huge": "too_long",
    "loop": "repetition",
    "leak": "mentions_given_answer",
    "placeholder": "placeholder",
    "empty": "empty",
    "flood": "too_long",
    "surrogate": "broken_text",
}


def test_what_fails_the_check_is_counted_and_changes_nothing(llm, tmp_path):
    samples = [sample_of(number) for number in range(100, 156) if number % 4 != 3]
    selection = committed(str(tmp_path / "in"), samples)
    bad = dict(zip((f"{n} + {n}?" for n in range(100, 200) if n % 4 != 3), REJECTED, strict=False))
    llm.reset(match=bad)
    after, report, _ = augmented(tmp_path, selection, llm.url, cot={"tasks": {"yes_no": 0.0}})
    cot = report["rewrites"]["cot"]
    expected = {}
    for reason in REJECTED.values():
        expected[reason] = expected.get(reason, 0) + 1
    assert cot["rejected"] == dict(sorted(expected.items()))
    assert cot["accepted"] == cot["chosen"] - len(REJECTED) == len(samples) - len(REJECTED)
    assert after[: len(REJECTED)] == samples[: len(REJECTED)]
    assert all(entries(sample) for sample in after[len(REJECTED) :])
    assert {example["reason"] for example in cot["rejected_examples"]} == set(expected)
    assert all(len(example["after"]) <= 600 for example in cot["rejected_examples"])


def test_blind_reasoning_must_find_the_answer_itself(llm, selection, tmp_path):
    settings = {"reveal_answer": False}
    _, report, _ = augmented(tmp_path, selection, llm.url, cot=settings)
    assert not any("Correct answer" in request["text"] for request in llm.requests())
    cot = report["rewrites"]["cot"]
    assert (cot["accepted"], cot["rejected"]) == (30, {"wrong_answer": 30})  # the server can add, but not see


def test_the_endpoint_sees_as_many_earlier_pairs_as_the_recipe_says(llm, selection, tmp_path):
    augmented(tmp_path, selection, llm.url, cot={"context_pairs": 1}, endpoint={"concurrency": 1})
    first, second = (request["text"] for request in llm.requests()[:2])
    assert first == "Question: What is 0 + 0?\nCorrect answer: 0"
    assert second.startswith("Earlier in the conversation:\nQ: What is 0 + 0?\nA: 0\n\nQuestion: Is figure 0 red?\n")


def test_a_slow_answer_holds_back_a_bounded_number_of_samples(llm, tmp_path):
    """Samples wait behind the first one, whose answer is late: their images must not fill the memory."""
    llm.reset(match={"What is 0 +": "slow"}, seconds=1.0)
    settings = {"url": llm.url, "model": "m", "api_key_env": KEY_NAME, "cache_uri": str(tmp_path)}
    recipe = AugmentationSettings(endpoint=settings, cot={"tasks": {"yes_no": 0.0}})
    taken = []

    def samples():
        talk = sample_of(3)
        for number in range(2000):
            taken.append(number)
            sample = talk if number else sample_of(0)
            yield sample, sample

    with AnswerService(recipe.endpoint) as service:
        rewritten = Rewriter(settings=recipe, seed=7, service=service)(samples())
        first = next(rewritten)
        assert entries(first)
        assert len(taken) == HELD_SAMPLES + 1
        assert sum(1 for _ in rewritten) == 1999


def test_without_an_endpoint_the_step_says_so_and_writes_no_text(selection, tmp_path):
    after, report, _ = augmented(tmp_path, selection, "", cot={}, long_answer={"share": 0.5})
    assert after == list(read_samples(selection))
    assert report["rewrites"]["cot"]["status"] == "skipped: no endpoint configured"
    assert report["rewrites"]["long_answer"]["accepted"] == 0
    assert report["rewrites"]["cot"]["chosen"] == 60
    assert report["endpoint"] is None
    assert not (tmp_path / "out/traffic.json").exists()


def test_an_endpoint_without_anything_to_ask_is_left_alone(llm, selection, tmp_path, monkeypatch):
    monkeypatch.delenv(KEY_NAME)
    after, report, _ = augmented(tmp_path, selection, llm.url)
    assert after == list(read_samples(selection))
    assert report["rewrites"] == {}


def test_a_second_run_asks_nothing_and_gives_the_same_manifest(llm, selection, tmp_path):
    settings = {"cot": {}, "long_answer": {}}
    _, _, one = augmented(tmp_path, selection, llm.url, name="one", **settings)
    llm.reset()
    operational = {"concurrency": 1, "tries": 2, "requests_per_minute": 1e6}
    _, _, two = augmented(tmp_path, selection, llm.url, name="two", endpoint=operational, **settings)
    assert llm.requests() == []
    assert (two.shards, two.attachments, two.fingerprint) == (one.shards, one.attachments, one.fingerprint)
    assert json.loads((tmp_path / "two/traffic.json").read_text()) == {"cache_hits": 120}


def test_the_rest_is_skipped_when_the_cost_cap_is_reached(llm, selection, tmp_path):
    priced = {"prompt_price": 10.0, "completion_price": 30.0, "max_cost": 0.06, "tokens_per_image": 50}
    after, report, _ = augmented(tmp_path, selection, llm.url, endpoint=priced, cot={})
    cot, endpoint = report["rewrites"]["cot"], report["endpoint"]
    assert cot["skipped"] == {"cost cap": 60 - cot["accepted"]}
    assert 0 < cot["accepted"] == len(llm.requests()) < 60
    assert 0.02 < endpoint["cost"] <= 0.06
    assert endpoint["stopped"] == "cost cap"
    assert not any(entries(sample) for sample in after[-10:])


def test_an_endpoint_that_is_down(selection, tmp_path, llm):
    down, quick = "http://127.0.0.1:1/v1", {"tries": 2}
    with pytest.raises(AerieError, match=r"127\.0\.0\.1:1 .*can't be reached"):
        augmented(tmp_path, selection, down, endpoint=quick, cot={})
    assert not (tmp_path / "out/manifest.json").exists()
    after, report, _ = augmented(tmp_path, selection, down, endpoint={**quick, "on_failure": "skip"}, cot={})
    assert after == list(read_samples(selection))
    assert report["rewrites"]["cot"]["skipped"] == {"endpoint failed": 60}
    assert "can't be reached" in report["endpoint"]["failure"]


def test_images_that_stay_outside_are_not_sent(llm, tmp_path):
    sample = replace(sample_of(1), images=(ImageRef(bytes=None, path="far/away.png", width=9, height=9),))
    _, report, _ = augmented(tmp_path, committed(str(tmp_path / "in"), [sample]), llm.url, cot={})
    assert report["rewrites"]["cot"]["skipped"] == {"image bytes are not in the shard": 2}
    assert llm.requests() == []


def test_one_refused_request_is_counted_and_the_others_go_on(llm, selection, tmp_path):
    llm.reset(match={"What is 5 +": "refuse"})
    _, report, _ = augmented(tmp_path, selection, llm.url, cot={})
    assert report["rewrites"]["cot"]["skipped"] == {"refused with status 400": 1}
    assert report["rewrites"]["cot"]["accepted"] == 59


def test_the_key_is_in_no_file_and_in_no_line(llm, selection, tmp_path, capfd):
    llm.reset(["echo_key", "busy", "error"], match={"What is 5 +": "refuse", "What is 6 +": "echo_key"})
    recipe = recipe_at(tmp_path, llm.url, cot={}, long_answer={})
    augment_samples(recipe, "", selection, str(tmp_path / "out"))
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 100
    assert not [text for text in (*written, *(line.encode() for line in capfd.readouterr())) if KEY.encode() in text]
    texts = [turn.content for sample in read_samples(str(tmp_path / "out")) for turn in sample.conversations]
    assert any("***" in text for text in texts)
    assert not any(KEY in text for text in texts)


@pytest.mark.parametrize("after", [1, 30])
def test_a_killed_step_resumes_without_paying_twice(llm, selection, tmp_path, after):
    """SIGKILL for a real process once the server has seen some requests; the next run ends as if nothing was."""
    llm.reset(match={"Question": "slow"}, seconds=0.03)
    recipe, out = recipe_at(tmp_path, llm.url, cot={}), str(tmp_path / "out")
    code = f"from data.curation.augmentation import augment_samples as f; f({recipe!r}, '', {selection!r}, {out!r})"
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {KEY_NAME: KEY}, stdout=subprocess.DEVNULL
    )
    while len(llm.requests()) < after:
        assert child.poll() is None
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not Path(out, "manifest.json").exists()
    samples, _, manifest = augmented(tmp_path, selection, llm.url, cot={})
    assert sum(len(entries(sample)) for sample in samples) == 60
    assert 60 <= len(llm.requests()) <= 60 + 4  # four were in flight
    (tmp_path / "undisturbed").mkdir()
    _, _, undisturbed = augmented(tmp_path / "undisturbed", selection, llm.url, cot={})
    assert (manifest.shards, manifest.attachments) == (undisturbed.shards, undisturbed.attachments)
