"""Curves are read with care and smoothed without moving."""

import json

import pytest

from data.errors import AerieError
from data.storage import Manifest, attach, commit
from model.evaluation.curves import read_curves, smoothed
from model.evaluation.run_folder import RunFolder


def curves(tmp_path, text):
    folder = str(tmp_path / "stage_1")
    files = {"metrics": attach(folder, "metrics.jsonl", text.encode())}
    commit(folder, Manifest(step="stage_1", fingerprint="f", recipe_sha256="r", rows=0, shards=(), attachments=files))
    return read_curves(RunFolder(uri=str(tmp_path), recipe=None), "stage_1")


def test_first_and_final_loss_are_means_over_a_tenth(tmp_path):
    text = "".join(f'{{"step": {n}, "loss": {n}, "tokens": 10}}\n' for n in range(1, 21))
    found = curves(tmp_path, text)
    assert (found.first_loss, found.final_loss) == (1.5, 19.5)
    assert found.points("loss")[:2] == ((1, 1), (2, 2))
    assert found.total("tokens") == 200
    assert found.total("seconds") is None
    assert found.points("grad_norm") == ()


def test_skipped_steps_have_no_loss_and_change_no_mean(tmp_path):
    lines = [{"step": n, "loss": n, "category_losses": {"chart_table": n + 1, "other": 1}} for n in range(1, 21)]
    lines[19] = {"step": 20, "loss": None, "category_losses": {}}
    found = curves(tmp_path, "".join(json.dumps(line) + "\n" for line in lines))
    assert found.points("loss")[-1] == (19, 19)
    assert found.final_loss == 18.5
    assert found.final_category_losses() == {"chart_table": 20, "other": 1}


@pytest.mark.parametrize(
    "text", ['{"step": 1, "loss": null}\n', "", "{", '{"step": 1}\n', "[1]\n", '{"step": 1, "loss": 2}\n{"ste']
)
def test_damaged_metrics_are_a_clear_error(tmp_path, text):
    with pytest.raises(AerieError, match="metrics of stage_1"):
        curves(tmp_path, text)


def test_smoothing_keeps_constants_and_lines():
    assert smoothed(((1, 5.0), (2, 7.0))) == ((1, 5.0), (2, 7.0))
    line = tuple((n, float(n)) for n in range(200))
    assert [y for _, y in smoothed(line)[20:180]] == pytest.approx([y for _, y in line[20:180]])
    assert {round(y, 9) for _, y in smoothed(tuple((n, 2.0) for n in range(99)))} == {2.0}
