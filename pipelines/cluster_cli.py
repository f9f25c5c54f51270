"""The `aerie` commands for Git and Kubeflow Pipelines: release, submit, status, logs, cancel, reap, render."""

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from data.errors import AerieError
from pipelines.kfp_client import KfpApi
from pipelines.kfp_endpoint import ENDPOINT_VARIABLE, NAMESPACE_VARIABLE, Endpoint
from pipelines.people import for_people

cluster = typer.Typer()
RECIPES = Path(__file__).parent / "recipes"
RELEASE_FOLDER = Path("infra/release")
STORAGE_VARIABLE = "AERIE_STORAGE_URI"
ON_KUBEFLOW = "On Kubeflow"

EndpointOption = Annotated[
    str, typer.Option("--endpoint", envvar=ENDPOINT_VARIABLE, help="Address of Kubeflow Pipelines.", show_default=False)
]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", envvar=NAMESPACE_VARIABLE, help="Namespace of the runs.", show_default="aerie")
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Id or name of a run.", show_default=False)]


@cluster.command(rich_help_panel=ON_KUBEFLOW)
def release(
    recipe: Annotated[Path, typer.Option("--recipe", help="Recipe file (YAML).")] = RECIPES / "tiny.yaml",
    out: Annotated[Path, typer.Option("--out", help="Folder for the release files.")] = RELEASE_FOLDER,
) -> None:
    """Write what Git holds and Argo CD applies: pipeline, version, recipe, release.json.

    Commit the folder. Its files change exactly when a retraining run would
    differ: with the code, the recipe, the images or dvc.lock. Pin the images
    (NAME@sha256:DIGEST) with AERIE_DATA_IMAGE, AERIE_EVAL_IMAGE,
    AERIE_STAGE_IMAGE and AERIE_TRAIN_IMAGE; AERIE_GPU_TASKS names the tasks
    that get a GPU, of embedding, gate and evaluation (default: evaluation).
    """
    with for_people() as console:
        from pipelines.release import local_images, write_release

        written = write_release(str(recipe), out)
        console.print(f"Release [bold]{written.version}[/] in {out}", highlight=False)
        console.print(f"recipe {written.recipe} {written.recipe_sha256[:12]}", highlight=False)
        console.print(f"data version {written.dataset_version[:12]} (dvc.lock)", highlight=False)
        for image in local_images():
            console.print(f"[yellow]Note:[/] only this machine has the image {image}", highlight=False)


@cluster.command(rich_help_panel=ON_KUBEFLOW)
def submit(
    recipe: Annotated[Path | None, typer.Option("--recipe", help="Submit this recipe from here.")] = None,
    release: Annotated[Path | None, typer.Option("--release", help="Submit this release folder.")] = None,
    storage: Annotated[
        str, typer.Option("--storage", envvar=STORAGE_VARIABLE, help="s3:// prefix that holds all runs.")
    ] = "",
    endpoint: EndpointOption = "",
    namespace: NamespaceOption = "",
    if_changed: Annotated[bool, typer.Option("--if-changed", help="Nothing to do for a state with a run.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Start another run of an equal state.")] = False,
    training_runtime: Annotated[
        str, typer.Option("--training-runtime", help="ClusterTrainingRuntime of the TrainJobs.")
    ] = "aerie-torch-v1",
) -> None:
    """Start a run on Kubeflow Pipelines, once for each state of pipeline, recipe and data.

    With --release the pipeline version must be there already (Argo CD applies
    it); with --recipe it is compiled here and uploaded. The same state never
    starts a second run, however often and from wherever it is submitted,
    unless --again asks for it.
    """
    with for_people() as console:
        from pipelines.release import local_images
        from pipelines.submitters import from_recipe, from_release

        if (recipe is None) == (release is None):
            raise AerieError("give either --recipe FILE or --release FOLDER")
        if again and if_changed:
            raise AerieError("--again starts a run in any case, --if-changed only for a new state; give one of them")
        api = KfpApi(Endpoint.find(endpoint, namespace))
        nonce = uuid.uuid4().hex if again else ""
        if release is not None:
            outcome = from_release(api, release, storage, training_runtime, nonce)
        else:
            outcome = from_recipe(api, str(recipe), storage, training_runtime, nonce)
        run, page = outcome.run, api.endpoint.page(outcome.run.run_id)
        if not outcome.started and not if_changed:
            raise AerieError(
                f"this state has a run already: {run.name}, {run.state}\n  {run.run_id}\n  {page}\n"
                "Change the recipe or the data, or start another run of it with --again"
            )
        for image in local_images() if recipe else []:
            console.print(f"[yellow]Note:[/] the cluster must have the image {image}", highlight=False)
        word = "[green]Started[/]" if outcome.started else f"Nothing changed, nothing started; {run.state}:"
        console.print(f"{word} [bold]{run.name}[/]\nid {run.run_id}\n{page}", highlight=False)


@cluster.command(rich_help_panel=ON_KUBEFLOW)
def status(
    run: RunArgument,
    watch: Annotated[bool, typer.Option("--watch", help="Wait until the run is over.")] = False,
    endpoint: EndpointOption = "",
    namespace: NamespaceOption = "",
) -> None:
    """Show a run's state and tasks; exit code 0: succeeded, 1: failed or cancelled, 3: not over yet."""
    with for_people() as console:
        from pipelines import runs
        from pipelines.run_view import changes_printer, exit_code, show_run

        api = KfpApi(Endpoint.find(endpoint, namespace))
        found = runs.find_run(api, run)
        if watch and not found.over:
            found = runs.watch(api, found.run_id, changes_printer(console))
        show_run(found, api.endpoint, console)
    raise typer.Exit(exit_code(found))


@cluster.command(rich_help_panel=ON_KUBEFLOW)
def logs(
    run: RunArgument,
    task: Annotated[str, typer.Option("--task", help="Only this task, for example stage-1.")] = "",
    endpoint: EndpointOption = "",
    namespace: NamespaceOption = "",
) -> None:
    """Print the logs of a run's pods, or, when they are gone, the errors that its steps left in the storage."""
    with for_people() as console:
        from pipelines.run_logs import logs_of
        from pipelines.runs import find_run

        api = KfpApi(Endpoint.find(endpoint, namespace))
        for log in logs_of(api, find_run(api, run), task):
            console.print(f"== {log.source}", style="bold", markup=False, highlight=False)
            console.print(log.text.rstrip("\n"), markup=False, highlight=False)


@cluster.command(rich_help_panel=ON_KUBEFLOW)
def cancel(run: RunArgument, endpoint: EndpointOption = "", namespace: NamespaceOption = "") -> None:
    """End a run and wait until it has ended; a run that is over stays as it is."""
    with for_people() as console:
        from pipelines import runs

        api = KfpApi(Endpoint.find(endpoint, namespace))
        before = runs.find_run(api, run)
        after = runs.cancel(api, before)
        word = "was over already" if before.over else "has ended"
        console.print(f"Run [bold]{after.name}[/] {word}: {after.state}", highlight=False)


@cluster.command(rich_help_panel=ON_KUBEFLOW)
def reap(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    endpoint: EndpointOption = "",
    namespace: NamespaceOption = "",
) -> None:
    """Delete the TrainJobs that no run waits for any more. Deletes nothing when Kubeflow Pipelines can't be asked."""
    with for_people():
        from components.trainjob import connect, say_masked
        from components.trainjob_patience import Patience, Waiting
        from pipelines.reaper import reap_orphans

        api, jobs = KfpApi(Endpoint.find(endpoint, namespace)), connect()
        patience = Patience.real(f"reaping in namespace {jobs.namespace}", Waiting(give_up_after=300.0))
        reap_orphans(api, jobs, datetime.now(UTC), patience, say_masked(jobs), dry_run)


@cluster.command(rich_help_panel=ON_KUBEFLOW)
def render(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="stage_1, stage_1_5 or stage_2.", show_default=False)],
    recipe: Annotated[Path, typer.Option("--recipe", help="Recipe file (YAML).")] = RECIPES / "tiny.yaml",
    storage: Annotated[
        str, typer.Option("--storage", envvar=STORAGE_VARIABLE, help="s3:// prefix that holds all runs.")
    ] = "s3://aerie/runs",
    run_id: Annotated[str, typer.Option("--run-id", help="Name of the run.")] = "example",
    runtime: Annotated[str, typer.Option("--runtime", help="ClusterTrainingRuntime.")] = "aerie-torch-v1",
    exact: Annotated[bool, typer.Option("--exact", help="Read the run's inputs: the launcher's very job.")] = False,
) -> None:
    """Print the TrainJob that a stage's task would create, without a cluster."""
    with for_people() as console:
        from components.trainjob_render import render_stage, render_yaml
        from pipelines.placement import TRAINJOB

        job = render_stage(str(recipe), stage, storage, run_id, TRAINJOB.text(), runtime, exact=exact)
        console.print(render_yaml(job), highlight=False, markup=False, end="")
