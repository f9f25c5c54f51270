"""The task before all training also reads the benchmarks that the last one will ask."""

from types import SimpleNamespace

import pytest
import yaml
from benchmark_files import coded, write_tsv
from evaluation_files import DOCUMENT, write_formatting

from components.tokenizer import tokenizer
from data.storage import read_manifest


def test_a_broken_benchmark_ends_the_run_before_any_training(tmp_path, capsys):
    document = DOCUMENT | {"evaluation": {"benchmark_data": "data"}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document))
    (tmp_path / "data").mkdir()
    row = {"index": 1, "image": coded(), "question": "?", "answer": "14"}
    write_tsv(tmp_path / "data", "chartqa", row, row)
    write_formatting(str(tmp_path / "run/formatting"))
    formatting = read_manifest(str(tmp_path / "run/formatting")).sha256()
    manifest = SimpleNamespace(path=str(tmp_path / "kfp/manifest.json"), metadata={})
    metrics = SimpleNamespace(log_metric=lambda name, value: None)
    inputs = (str(tmp_path / "recipe.yaml"), "", str(tmp_path), "run", formatting, metrics, manifest)
    with pytest.raises(SystemExit):
        tokenizer.python_func(*inputs)
    assert "ChartQA_TEST.tsv, line 3, column 'index': index '1' stands at" in capsys.readouterr().out
    assert not (tmp_path / "run/tokenizer/manifest.json").exists()
    write_tsv(tmp_path / "data", "chartqa", row)
    assert tokenizer.python_func(*inputs) == read_manifest(str(tmp_path / "run/tokenizer")).sha256()
