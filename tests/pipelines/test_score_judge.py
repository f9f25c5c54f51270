"""`aerie score` with a judge, a real server process, and the averages it prints."""

import csv
import json
import re

import pytest
import yaml
from benchmark_files import coded, write_tsv
from openai_server import KEY_NAME
from typer.testing import CliRunner

from pipelines.cli import app

ANSWERS = ["x = 3", "x = -5", "x = -1 or x = -5"]


@pytest.fixture
def judge(llm, tmp_path):
    """The file that names the endpoint."""
    path = tmp_path / "judge.yaml"
    settings = {
        "url": llm.url,
        "model": "gpt-4-1106-preview",
        "api_key_env": KEY_NAME,
        "cache_uri": str(tmp_path / "c"),
    }
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture
def asked(tmp_path):
    """(predictions, folder of the benchmark's data)"""
    rows = [
        {"index": f"v1_{n}", "image": coded(n), "question": f"x in {n}?", "answer": "-1<AND>-5", "category": "math"}
        for n in range(len(ANSWERS))
    ]
    write_tsv(tmp_path, "mmvet", *rows)
    path = tmp_path / "answers.tsv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t")
        writer.writerows([["index", "prediction"], *((f"v1_{n}", answer) for n, answer in enumerate(ANSWERS))])
    return str(path), str(tmp_path)


def score(asked, *more):
    return CliRunner().invoke(app, ["score", asked[0], "--benchmark", "mmvet", "--data", asked[1], *more])


def test_without_a_judge_nothing_is_scored_and_the_average_says_what_it_lacks(asked):
    found = json.loads(score(asked, "--json").stdout)
    assert found["benchmarks"][0]["rules"]["eagle2"]["unjudged"] == 3
    assert "score" not in found["benchmarks"][0]["rules"]["eagle2"]
    assert found["averages"]["eagle2"]["rules"] == {"eagle2": None}
    assert {"mmvet", "docvqa"} <= set(found["averages"]["eagle2"]["missing"])
    assert "13 benchmarks are missing" in score(asked).stdout


def test_a_judge_grades_once(asked, judge, llm):
    first = json.loads(score(asked, "--judge", str(judge), "--json").stdout)
    paid = len(llm.requests())
    assert paid == 3
    numbers = first["benchmarks"][0]["rules"]["eagle2"]
    assert numbers["unjudged"] == 0
    assert 0 < numbers["score"] < 100
    assert "mmvet" not in first["averages"]["eagle2"]["missing"]
    assert json.loads(score(asked, "--judge", str(judge), "--json").stdout) == first
    assert len(llm.requests()) == paid, "verdicts are cached"


@pytest.mark.parametrize(
    ("text", "words"), [("url: [", "can't be read"), ("{url: http://x/v1}", "model"), ("[]", "the file")]
)
def test_a_wrong_judges_file_is_named(asked, tmp_path, text, words):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    result = score(asked, "--judge", str(path))
    said = re.sub(r"\s+", " ", result.output)
    assert result.exit_code == 2, said
    assert "wrong.yaml" in said
    assert words in said
