"""dvc.yaml out of a recipe and the code: each step a stage that depends on all that its output depends on.

A dependency that was forgotten would let `dvc repro` skip a step that changed, so nobody keeps the lists by hand.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from data.code_reach import CodeReach
from data.files import join
from data.recipe import DataRecipe, DataSettings, recipe_document
from data.settings.base import validated

HEAD = """\
# The data steps as DVC stages: the same functions as the pipeline's, on {folder}/.
# `dvc repro` runs what changed; `dvc push` copies the results to the remote: a folder by default, with `-r bucket` the
# S3 bucket in .dvc/config, reached by AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
# Written by `python -m data stages > dvc.yaml`: deps are all modules that a step imports, params all keys it reads.
"""
# A card names its adapter, which Python imports by that name; the raw data come in packages of fixed versions.
SOURCING_DEPS = ["data/registry", "requirements.lock"]
ALWAYS = ["data/__main__.py"]
Steps = Mapping[str, tuple[str, tuple[str, ...]]]


def stages_yaml(root: Path, recipe_uri: str, folder: str, steps: Steps) -> str:
    """The text of dvc.yaml for a recipe; `root` is the repository, `folder` the steps', both as DVC sees them.

    `steps` gives for each step but sourcing and validation its function and the steps whose folders it reads.
    """
    document, _ = recipe_document(recipe_uri)
    recipe = validated(DataRecipe, document, recipe_uri)
    sources = [use.name for use in recipe.data.sources]
    write = _Writer(CodeReach(root), recipe_uri, document, folder, steps)
    stages: dict[str, Any] = {
        "sourcing": {
            "foreach": sources,
            "do": write.stage("sourcing", "source_samples", [], " --source ${item}", "/${item}"),
        },
        "validation": write.stage("validation", "validate_samples", [f"sourcing/{name}" for name in sources]),
    }
    for step, (function, inputs) in steps.items():
        stages[step] = write.stage(step, function, list(inputs))
    text = yaml.safe_dump({"stages": stages}, sort_keys=False, width=120, allow_unicode=True)
    return HEAD.format(folder=folder) + text


class _Writer:
    """Writes one stage after the other for the same recipe and code."""

    def __init__(self, code: CodeReach, recipe_uri: str, document: dict[str, Any], folder: str, steps: Steps) -> None:
        self.code, self.recipe_uri, self.document, self.folder = code, recipe_uri, document, folder
        functions = ["source_samples", "validate_samples", *(function for function, _ in steps.values())]
        self.homes = {code.home(function) for function in functions}

    def stage(self, step: str, function: str, inputs: list[str], option: str = "", part: str = "") -> dict[str, Any]:
        """A stage that runs `python -m data STEP` on what other steps left in the folder."""
        home = self.code.home(function)
        modules = self.code.modules([home])
        files = {*ALWAYS, *self.code.files(modules)}
        if step == "sourcing":
            files = {file for file in files if not file.startswith("data/registry/")} | set(SOURCING_DEPS)
        # Another step's module is there for its helpers (a file format, a hash); what that step reads is its own.
        readers = [module for module in modules if module == home or module not in self.homes]
        keys = [key for key in self.code.recipe_keys(readers, DataSettings.model_fields) if self._given(key)]
        if step in ("sourcing", "validation"):
            keys = sorted({*keys, "data.sources"})
        stage: dict[str, Any] = {
            "cmd": self._command(step) + option,
            "deps": [*sorted(files), *(join(self.folder, name) for name in inputs)],
        }
        return stage | {"params": [{self.recipe_uri: keys}], "outs": [join(self.folder, step) + part]}

    def _command(self, step: str) -> str:
        return f"python -m data {step} --recipe {self.recipe_uri} --folder {self.folder}"

    def _given(self, key: str) -> bool:
        """DVC complains about a key that the recipe leaves to its default."""
        found: Any = self.document
        for part in key.split("."):
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        return True
