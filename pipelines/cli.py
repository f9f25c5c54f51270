"""The `aerie` command: run, compile, plan, report, and what other files add."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from data.errors import AerieError
from pipelines.benchmarks_cli import benchmarks
from pipelines.chat_cli import chat_app
from pipelines.checkpoint_cli import checkpoints
from pipelines.cluster_cli import cluster
from pipelines.data_cli import data
from pipelines.models_cli import models_app
from pipelines.options import Storage
from pipelines.people import for_people
from pipelines.plan_cli import planning
from pipelines.score_cli import scoring
from pipelines.sources_cli import sources

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Aerie post-trains vision-language models by the Eagle 2 recipe, on a laptop or on Kubeflow Pipelines.",
)
app.add_typer(cluster)
app.add_typer(planning)
app.add_typer(chat_app)
app.add_typer(checkpoints)
app.add_typer(scoring)
app.add_typer(sources, name="sources")
app.add_typer(data, name="data")
app.add_typer(benchmarks, name="benchmarks")
app.add_typer(models_app, name="models")
RECIPES = Path(__file__).parent / "recipes"


class Runner(StrEnum):
    """What runs the steps of a local run."""

    subprocess = "subprocess"
    docker = "docker"


@contextmanager
def _for_people() -> Iterator[Console]:
    """As `for_people`; a step that broke by a fault of ours is told the same way, with exit code 1."""
    from pipelines.local_run import StepFailedError

    with for_people("Interrupted. Finished steps are kept; continue with aerie run --resume.") as console:
        try:
            yield console
        except StepFailedError as error:
            Console(file=sys.stderr, soft_wrap=True, markup=False, highlight=False).print(f"Error: {error}")
            raise typer.Exit(1) from None


@app.command()
def run(
    recipe: Annotated[Path, typer.Option("--recipe", help="Recipe file (YAML).")] = RECIPES / "tiny.yaml",
    storage: Storage = "artifacts",
    resume: Annotated[str, typer.Option("--resume", metavar="RUN", help="Continue this run (name or folder).")] = "",
    name: Annotated[str, typer.Option("--name", help="Name of the new run [default: RECIPE-DATE-TIME].")] = "",
    runner: Annotated[
        Runner, typer.Option("--runner", help="Steps as processes, or in the images of `make images`.")
    ] = Runner.subprocess,
) -> None:
    """Run the whole pipeline on this machine, step by step, and print the results.

    The compiled pipeline is executed by KFP's local runner, so it is the same graph that a cluster gets.
    Every step commits its output; after a crash or a kill, `aerie run --resume RUN` repeats only what is missing,
    with the recipe as it was when the run began.
    """
    with _for_people() as console:
        from pipelines.docker_run import choose_stage_image
        from pipelines.local_run import find_run, new_run
        from pipelines.session import run_and_show

        if resume and name:
            raise AerieError("--name names a new run, --resume continues an old one; give one of them")
        if runner == Runner.docker:
            choose_stage_image()
        run_and_show(find_run(resume, storage) if resume else new_run(str(recipe), storage, name), console, runner)


@app.command(name="compile")
def compile_command(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Compiled YAML to check.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the YAML files.")] = Path("build"),
    check: Annotated[bool, typer.Option("--check", help="Look for traps of Kubeflow Pipelines in the YAML.")] = False,
) -> None:
    """Write the pipelines as KFP YAML, ready for upload or Git.

    The files are byte-stable: they change only when the pipeline changes. Pin the images with AERIE_DATA_IMAGE,
    AERIE_EVAL_IMAGE, AERIE_STAGE_IMAGE and AERIE_TRAIN_IMAGE (NAME@sha256:DIGEST). AERIE_GPU_TASKS names the tasks
    that get a GPU, of embedding, gate and evaluation (default: evaluation).

    With --check the compiled files, or the FILEs instead, are searched for what Kubeflow Pipelines gets wrong: one
    line a finding, exit code 1 unless all are notes.
    """
    with _for_people() as console:
        from pipelines.compiling import compile_pipelines
        from pipelines.lint import check_files

        if files and not check:
            raise AerieError("FILE names compiled pipelines to check; add --check, or leave it out to compile")
        if not files:
            files = compile_pipelines(out)
            for path in files:
                console.print(str(path), highlight=False)
        if not check:
            _note_moving_images(console)
            return
        findings = check_files(files)
        for finding in findings:
            console.print(finding.line(), highlight=False, markup=False)
        traps = sum(not finding.note for finding in findings)
        console.print(f"{len(files)} pipelines checked: {traps} traps, {len(findings) - traps} notes", highlight=False)
        if traps:
            raise typer.Exit(1)


def _note_moving_images(console: Console) -> None:
    from components.images import DATA_IMAGE, EVAL_IMAGE, STAGE_IMAGE, TRAIN_IMAGE

    for reference in sorted({DATA_IMAGE, EVAL_IMAGE, STAGE_IMAGE, TRAIN_IMAGE}):
        if "@sha256:" not in reference:
            console.print(f"[yellow]Note:[/] image {reference} isn't pinned by digest; see aerie compile --help")


@app.command()
def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a run.")],
    storage: Storage = "artifacts",
    against: Annotated[
        str, typer.Option("--against", metavar="RUN", help="Run that scores and failure signatures are compared with.")
    ] = "",
) -> None:
    """Write a run's HTML report anew and print the result table and the path."""
    with _for_people() as console:
        from components.report import render_again
        from pipelines.local_run import find_run
        from pipelines.session import show_result

        found = find_run(run, storage)
        earlier = find_run(against, storage) if against else None
        against_uri = f"{earlier.storage_uri}/{earlier.run_id}" if earlier else ""
        render_again(found.recipe_uri, found.recipe.sha256, found.storage_uri, found.run_id, against_uri)
        show_result(found, console)


if __name__ == "__main__":
    app()
