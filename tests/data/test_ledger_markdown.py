"""The curation ledger in Markdown: sums of a run's own manifests, and a gap that is named."""

import pytest

from data.errors import AerieError
from data.ledger import StepCount
from data.ledger_markdown import AFTER_SOURCING, curation_ledger
from data.storage import Manifest, commit

RECIPE = """
name: small
seed: 1
data:
  sources: [{name: digits}, {name: chatterbot}]
"""


def count(source, rows_in, rows_out, **dropped):
    return StepCount(source=source, rows_in=rows_in, rows_out=rows_out, dropped=dropped)


def write(folder, step, counts):
    manifest = Manifest(step=step, fingerprint="f", recipe_sha256="r", rows=0, shards=(), counts=tuple(counts))
    commit(str(folder / "run" / step), manifest)


@pytest.fixture
def curated(tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    write(tmp_path, "sourcing/digits", [count("digits", 10, 9, malformed=1)])
    write(tmp_path, "sourcing/chatterbot", [count("chatterbot", 1500, 1500)])
    for step in AFTER_SOURCING:
        kept = 1499 if step in AFTER_SOURCING[3:] else 1500
        dropped = {"repeated_turns": 1} if step == "filtering" else {}
        entered = 1500 if step == "filtering" else kept
        write(tmp_path, step, [count("chatterbot", entered, kept, **dropped), count("digits", 9, 9)])
    return tmp_path


def test_each_source_and_each_reason_has_its_row(curated):
    lines = curation_ledger(str(curated / "recipe.yaml"), "", str(curated), "run").splitlines()
    assert "| digits | naive\\_ocr | 10 | 0 | 1 | 9 |" in lines
    assert "| chatterbot | text\\_only | 1,500 | 0 | 1 | 1,499 |" in lines
    assert "| all |  | 1,510 | 0 | 2 | 1,508 |" in lines
    assert "| filtering | repeated\\_turns | 1 |" in lines
    assert "| sourcing | malformed | 1 |" in lines
    assert "| chatterbot | filtering | repeated\\_turns | 1 |" in lines
    assert "| digits | sourcing | malformed | 1 |" in lines


def test_rows_that_vanish_between_steps_are_named(curated):
    write(curated, "formatting", [count("chatterbot", 1400, 1400), count("digits", 9, 9)])
    with pytest.raises(AerieError, match="'augmentation' and 'formatting' for source 'chatterbot'"):
        curation_ledger(str(curated / "recipe.yaml"), "", str(curated), "run")
