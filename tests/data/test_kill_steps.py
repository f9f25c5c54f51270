"""Data steps killed by SIGKILL at every write and at random times: readers see all or nothing, and the end is equal."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "tests/servers/kill_lab.py"
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # test_s3_steps kills the same steps, with a server between


def card(name, category):
    described = {"name": name, "uri": f"file://{name}.jsonl", "version": "1", "licence": "CC0-1.0", "adapter": "jsonl"}
    return described | {"category": category, "split_key": "id", "description": "Rows written by a test."}


def line(number, image, *turns, split="train"):
    spoken = [{"from": "gpt" if i % 2 else "human", "value": text} for i, text in enumerate(turns)]
    return json.dumps({"id": number, "image": image, "split": split, "conversations": spoken})


def charts():
    for i in range(180):
        question = f"<image>\nHow many bars are taller than {i}?"
        answer = {7: "", 11: "I'm sorry, but I can't help with that.", 13: "so it is " * 40}.get(i % 40, str(i % 9))
        yield line(i, f"{i % 12}.png", question, answer, "And how many are shorter?", str(i % 5))
    yield "{broken"
    yield line("gone", "missing.png", "<image>\nWhat?", "A chart.")
    yield line("held", "held.png", "<image>\nWhat is it?", "A chart.", split="heldout")


def words():
    for i in range(120):
        yield line(i, None, f"What is {i} plus {i % 7}?", f"\\begin{{align*}} {i + i % 7} \\end{{align*}}")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    for number in range(13):
        sink = io.BytesIO()
        Image.new("RGB", (40, 30), (20 * number, 255 - 20 * number, 99)).save(sink, format="PNG")
        (folder / ("held.png" if number == 12 else f"{number}.png")).write_bytes(sink.getvalue())
    for name, category, lines in (("charts", "chart_table", charts()), ("words", "text_only", words())):
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(card(name, category)))
    chosen = {"chart_table": {"strategy": "kmeans", "clusters": 4, "quota": 50}}
    settings = {"cards": "..", "rows_per_shard": 100, "sources": [{"name": "charts"}, {"name": "words"}]}
    settings |= {"embedding": {"image_size": 32, "max_text_tokens": 16}, "selection": {"categories": chosen}}
    (folder / "recipes").mkdir()
    path = folder / "recipes" / "r.yaml"
    path.write_text(yaml.safe_dump({"name": "killed", "seed": 5, "data": settings}))
    return path


@pytest.fixture(scope="module")
def seen(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(PROGRAM), str(recipe), str(folder), str(folder / "seen.json")]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout.decode()[-5000:]
    return json.loads((folder / "seen.json").read_text())


def test_killed_at_each_write_a_step_shows_nothing_until_it_shows_everything(seen):
    assert len(seen["whole"]) == 9
    assert all(seen["whole"].values())
    for step, outcome in seen["written"].items():
        *before, last = outcome["seen"]
        assert set(before) <= {""}, step
        assert last in ("", seen["whole"][step]), step
        assert outcome["end"] == seen["whole"][step], step
    assert sum(len(outcome["seen"]) for outcome in seen["written"].values()) > 70
    assert sum(bool(outcome["seen"][-1]) for outcome in seen["written"].values()) >= 5  # its manifest was just there


def test_killed_at_random_times_the_chain_ends_as_if_undisturbed(seen):
    timed, whole = seen["timed"], seen["whole"]
    assert timed["kills"] >= 3
    for moment in timed["seen"]:
        done = [bool(moment[step]) for step in whole]
        assert done == sorted(done, reverse=True)  # no step is seen before those that it reads
        assert all(moment[step] in ("", whole[step]) for step in whole)
    assert timed["end"] == whole
