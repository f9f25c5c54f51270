"""Compiles small pipelines and tells which rules of the linter they break."""

import pytest
import yaml
from kfp import compiler, dsl

from pipelines.lint import check_files


@pytest.fixture
def broken_rules(tmp_path):
    """A function: (pipeline function, edit of the documents, settings of dsl.pipeline) -> names of the broken rules."""

    def find(function, edit=None, **settings):
        path = tmp_path / f"{function.__name__.replace('_', '-')}.yaml"
        compiler.Compiler().compile(dsl.pipeline(name=path.stem, **settings)(function), str(path))
        if edit:
            documents = list(yaml.safe_load_all(path.read_text()))
            edit(*documents)
            path.write_text(yaml.safe_dump_all(documents))
        return {finding.rule for finding in check_files([path])}

    return find
