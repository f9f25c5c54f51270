"""`python -m data STEP`: one data step on a folder of steps, for DVC stages and for work on a single step.

The folder holds one subfolder a step (sourcing/NAME, validation, ...), as a run of the pipeline does.
`python -m data stages` prints dvc.yaml for a recipe.
"""

import argparse
import inspect
import sys
from pathlib import Path

from data import steps
from data.dvc_stages import stages_yaml
from data.errors import AerieError
from data.files import join
from data.recipe import load_data_recipe

# step -> (function in data.steps, the steps whose folders it reads)
STEPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "embedding": ("embed_samples", ("validation",)),
    "gate": ("gate_sources", ("validation", "embedding")),
    "filtering": ("filter_samples", ("gate",)),
    "selection": ("select_samples", ("filtering", "embedding")),
    "augmentation": ("augment_samples", ("selection",)),
    "formatting": ("format_samples", ("augmentation", "validation")),
}


def run_step(step: str, recipe_uri: str, folder: str, source: str | None) -> None:
    """Run one step in `folder`."""
    recipe = load_data_recipe(recipe_uri)
    common = (recipe_uri, recipe.sha256)
    if step == "sourcing":
        if source is None:
            raise AerieError("sourcing needs --source NAME")
        steps.source_samples(*common, source, join(folder, "sourcing", source))
    elif step == "validation":
        # One stage for both tasks: DVC keeps a failed stage's files, so the report survives the failure.
        parts = [join(folder, "sourcing", use.name) for use in recipe.data.sources]
        steps.validate_samples(*common, parts, join(folder, step))
        steps.enforce_validation(join(folder, step))
    else:
        name, inputs = STEPS[step]
        more = {"embedding_uri": join(folder, "embedding")} if step == "filtering" else {}
        getattr(steps, name)(*common, *(join(folder, part) for part in inputs), join(folder, step), **more)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line; a user's mistake is one line on stderr and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m data", description=inspect.cleandoc(__doc__ or ""))
    parser.add_argument("step", choices=["stages", "sourcing", "validation", *STEPS])
    parser.add_argument("--recipe", default="pipelines/recipes/tiny.yaml", help="recipe file (default: %(default)s)")
    parser.add_argument("--folder", default="artifacts/dvc", help="folder of the steps (default: %(default)s)")
    parser.add_argument("--source", help="which source of the recipe; for sourcing only")
    given = parser.parse_args(arguments)
    try:
        if given.step == "stages":
            print(stages_yaml(Path(), given.recipe, given.folder, STEPS), end="")
        else:
            run_step(given.step, given.recipe, given.folder, given.source)
    except AerieError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
