"""Precision and recall of every rule family on labelled conversations, and on a second set written afterwards.

`labelled/FAMILY.jsonl` is what the rules were made with; `labelled/unseen/` was written when they were done, and they
are not tuned on it. Each line: wrong (is it a case for the family?), turns, and images and meta where they matter.
"""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from data.curation.decisions import RULES, decide
from data.curation.measuring import measured
from data.curation.turns import COLUMNS
from data.schema import ImageRef, Turn, make_sample, samples_to_table
from data.settings.filtering import FilterSettings
from data.shardwise import shard_bytes, shard_table

FOLDER = Path(__file__).parent / "labelled"
IMAGE = ImageRef(bytes=b"png", path="a.png", width=8, height=8)
REASONS = {
    "mismatch": {"mismatched_answer"},
    "options": {"mismatched_answer"},
    "language": {"mismatched_language"},
    "irrelevant": {"absent_image"},
    "repeated": {"repeated_text", "looped_text", "repeated_lines", "repeated_turns"},
    "precision": {"unsupported_precision"},
    "refusal": {"refusal"},
    "leak": {"placeholder_leak"},
    "template": {"template_residue"},
    "length": {"empty_turn", "answer_too_long", "turn_too_long"},
    "markup": {"broken_markup"},
    "turn_order": {"wrong_turn_order"},
}
LEAST_CASES = 50


def cases(path: Path) -> tuple[list[dict], pa.Table]:
    """The lines of a file, and the samples as the step reads them."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    samples = [
        make_sample(
            source="labelled",
            category="general_vqa",
            images=(IMAGE,) * line.get("images", 1),
            conversations=tuple(Turn(role=role, content=content) for role, content in line["turns"]),
            meta=line.get("meta", {}),
        )
        for line in lines
    ]
    return lines, shard_table(shard_bytes(samples_to_table(samples)), COLUMNS)


def judge(family: str, path: Path) -> tuple[float, float, list[tuple[str, list[list[str]]]]]:
    """(precision, recall, the cases that are judged wrongly) of a family's rules at the default thresholds."""
    lines, table = cases(path)
    decisions = decide(measured(table), FilterSettings())
    own = [index for index, rule in enumerate(RULES) if rule.reason in REASONS[family]]
    found = decisions.fired[own].any(axis=0).tolist()
    hits = sum(line["wrong"] and fired for line, fired in zip(lines, found, strict=True))
    errors = [
        ("missed" if line["wrong"] else "false alarm", line["turns"])
        for line, fired in zip(lines, found, strict=True)
        if line["wrong"] != fired
    ]
    return hits / max(sum(found), 1), hits / sum(line["wrong"] for line in lines), errors


@pytest.mark.parametrize("family", REASONS)
def test_each_family_on_its_labelled_set(family):
    path = FOLDER / f"{family}.jsonl"
    labels = [line["wrong"] for line in cases(path)[0]]
    assert min(sum(labels), len(labels) - sum(labels)) >= LEAST_CASES
    precision, recall, errors = judge(family, path)
    print(f"{family}: precision {precision:.3f}, recall {recall:.3f} of {len(labels)}")
    assert precision >= 0.95, errors
    assert recall >= 0.9, errors


@pytest.mark.parametrize("family", REASONS)
def test_each_family_on_cases_written_later(family):
    precision, recall, errors = judge(family, FOLDER / "unseen" / f"{family}.jsonl")
    print(f"{family}, unseen: precision {precision:.3f}, recall {recall:.3f}")
    assert precision >= 0.9, errors
    assert recall >= 0.85, errors
