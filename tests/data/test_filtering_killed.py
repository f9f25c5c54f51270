"""The filtering step with worker processes, killed at random points, ends with the same files as undisturbed."""

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from data.schema import Turn, make_sample
from data.storage import Manifest, commit, write_samples

SCRIPT = """
import sys
from data.curation import filtering

if __name__ == "__main__":
    filtering.FEW_ROWS = 0
    filtering.filter_samples(sys.argv[1], "", sys.argv[2], sys.argv[3])
"""
ROWS, PER_SHARD, KILLS = 6000, 500, 5


@pytest.fixture
def run(tmp_path):
    """Start the step in a process of its own, on an output folder."""
    rng = random.Random(4)
    samples = [
        make_sample(
            source=f"s{n % 3}",
            category="text_only",
            images=(),
            conversations=(
                Turn(role="user", content=f"Is {n} odd?"),
                Turn(role="assistant", content=rng.choice(["yes", "no", "blue", "it is " * 9 + str(n), "{answer}"])),
            ),
            meta={},
        )
        for n in range(ROWS)
    ]
    gate = str(tmp_path / "gate")
    shards = write_samples(gate, samples, PER_SHARD)
    commit(gate, Manifest(step="gate", fingerprint="g", recipe_sha256="", rows=ROWS, shards=shards))
    recipe, script = tmp_path / "recipe.yaml", tmp_path / "step.py"
    recipe.write_text(yaml.safe_dump({"name": "t", "seed": 1, "data": {"sources": [{"name": "s0"}]}}))
    script.write_text(SCRIPT)

    def start(out):
        command = [sys.executable, str(script), str(recipe), gate, str(out)]
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()}, stdout=subprocess.DEVNULL)

    return start


def files(folder):
    """Hashes of all finished files; a killed writer may leave a temporary one, which nobody reads."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.mark.long
def test_a_killed_step_ends_as_an_undisturbed_one(run, tmp_path):
    begin = time.monotonic()
    assert run(tmp_path / "whole").wait() == 0
    whole = time.monotonic() - begin
    rng, killed = random.Random(9), 0
    for _ in range(KILLS):
        process = run(tmp_path / "killed")
        time.sleep(whole * rng.uniform(0.4, 0.95))
        killed += process.poll() is None
        process.kill()
        process.wait()
    assert killed
    assert run(tmp_path / "killed").wait() == 0
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
