"""Benchmark files in a test's own folder, and their questions."""

from functools import partial

import pytest
from benchmark_files import write_parquet, write_tsv

from model.evaluation.benchmarks.cards import benchmark_card
from model.evaluation.benchmarks.reading import questions


@pytest.fixture
def tsv(tmp_path):
    """A function: (card name, records) -> the path of a TSV named as the card's."""
    return partial(write_tsv, tmp_path)


@pytest.fixture
def parquet(tmp_path):
    """A function: (card name, file below NAME/, rows) -> the folder NAME."""
    return partial(write_parquet, tmp_path)


@pytest.fixture
def asked():
    """A function: (card name, path) -> all questions."""
    return lambda name, path, **given: list(questions(benchmark_card(name), path, **given))
