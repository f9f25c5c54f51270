"""Starts the run of one state (pipeline version, recipe, data version) exactly once.

                   run there? -- yes --> done
                       no
    recipe, version, experiment are made ready
                       |
          .---> claim number N -------- another's --> wait until its run shows, or its claim is stale --.
          |          ours                                                                               |
          |      run there? -- yes --> done                                                             |
          |           no                                                                                |
          |      POST, once -- answered --> done                                                        |
          |           lost: wait until the run shows --> done                                           |
          '-- N + 1 --'-------------------------------------------------------------------------------- '

KFP's own answer decides; the claims (see claims.py) only see to it that no two requests are under way at once.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from data.errors import AerieError
from data.files import exists, join, read_bytes, write_bytes
from model.recipe import Recipe
from pipelines.claims import Claims
from pipelines.kfp_client import TOO_MANY, KfpApi, KfpError
from pipelines.release import Release
from pipelines.runs import RUNS, RunState, list_runs, read_run, run_state
from pipelines.versions import EXISTS, VersionIds, experiment_id

STATES = uuid.UUID("6a0f1c52-9a7e-5d0b-8f1e-2d6c4b7a9e35")  # the namespace of our run ids; never change it
SERVICE_ACCOUNT, TRAINING_RUNTIME = "aerie-runner", "aerie-torch-v1"
# A request has come through or never will; longer than KFP leaves a workflow alone whose run isn't in its table.
SETTLED_SECONDS = 120.0
# A claim's owner waits at most for its answer and SETTLED_SECONDS; then the claim is nobody's.
STALE_SECONDS = 300.0
THROTTLED_SECONDS = 30.0
FRESH_SECONDS = 60.0  # an owner that got no further in this time doesn't trust its claim
GIVE_UP_SECONDS = 3600.0
FIRST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A run that shall exist: its id, what people see of it, the pipeline's parameters."""

    run_id: str
    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The state's run, and whether this submission started it."""

    run: RunState
    started: bool


def run_id_of(release: Release, nonce: str = "") -> str:
    """The id of a state's run; a nonce makes another run of the same state."""
    parts = [release.version, release.recipe_sha256, release.dataset_version, *([nonce] if nonce else [])]
    return str(uuid.uuid5(STATES, "/".join(parts)))


def order(
    release: Release, recipe: Recipe, storage_uri: str, training_runtime: str = TRAINING_RUNTIME, nonce: str = ""
) -> Order:
    """The run of a release and its recipe, with its results below `storage_uri`."""
    run_id, root = run_id_of(release, nonce), storage_uri.rstrip("/")
    parameters = {
        "recipe_uri": join(root, "recipes", f"{release.recipe_sha256}.yaml"),
        "recipe_sha256": release.recipe_sha256,
        "storage_uri": root,
        "run_id": run_id,
        "sources": [use.name for use in recipe.data.sources],
        "training_runtime": training_runtime,
    }
    facts = {
        "recipe": f"{release.recipe} {release.recipe_sha256}",
        "data version": release.dataset_version,
        "pipeline version": release.version,
    }
    description = "\n".join(f"{name}: {value}" for name, value in facts.items())
    return Order(run_id=run_id, name=f"{recipe.name}-{run_id[:8]}", description=description, parameters=parameters)


def submit(api: KfpApi, wanted: Order, recipe_file: str, version: Callable[[], VersionIds]) -> Outcome:
    """Have the run exist. `version` finds or uploads the pipeline version; it is asked only when a run must start."""
    if found := read_run(api, wanted.run_id):
        return Outcome(run=found, started=False)
    store_recipe(recipe_file, wanted.parameters["recipe_uri"])
    ids, experiment = version(), experiment_id(api)
    return _start_once(api, wanted, ids, experiment)


def store_recipe(recipe_file: str, uri: str) -> None:
    """Put the recipe where the steps read it; its name is its hash, so a file that is there is left alone if whole."""
    payload = read_bytes(recipe_file)
    if not exists(uri) or read_bytes(uri) != payload:
        write_bytes(uri, payload)


def _start_once(api: KfpApi, wanted: Order, ids: VersionIds, experiment: str) -> Outcome:
    claims, pace = Claims(wanted.parameters["storage_uri"], wanted.run_id), api.pace
    begun, number, posted, last = pace.clock(), 1, False, "another submitter has claimed it"
    while pace.clock() - begun < GIVE_UP_SECONDS:
        since, ours = pace.clock(), claims.take(number)  # in this order: a slow store uses up the claim's freshness
        if found := _find(api, wanted, experiment):
            return Outcome(run=found, started=posted)
        patience = STALE_SECONDS
        if ours:
            patience = 0.0
            if pace.clock() - since < FRESH_SECONDS:
                posted = True
                try:
                    return Outcome(run=_post(api, wanted, ids, experiment), started=True)
                except KfpError as error:
                    patience, last = _settling_time(error), str(error)
        if found := _wait_for(api, wanted, experiment, patience):
            return Outcome(run=found, started=posted)
        number += 1
    raise AerieError(f"run {wanted.run_id} hasn't started in {GIVE_UP_SECONDS / 60:.0f} min; submit again. {last}")


def _find(api: KfpApi, wanted: Order, experiment: str) -> RunState | None:
    """The run by its id; a KFP that chooses ids itself still keeps the name and our id among the parameters."""
    if found := read_run(api, wanted.run_id):
        return found
    named = list_runs(api, wanted.name, experiment)
    return next((run for run in named if run.parameters.get("run_id") == wanted.run_id), None)


def _post(api: KfpApi, wanted: Order, ids: VersionIds, experiment: str) -> RunState:
    """The one request that isn't harmless: never repeated here."""
    body = {
        "run_id": wanted.run_id,
        "display_name": wanted.name,
        "description": wanted.description,
        "experiment_id": experiment,
        "pipeline_version_reference": {"pipeline_id": ids.pipeline_id, "pipeline_version_id": ids.version_id},
        "runtime_config": {"parameters": wanted.parameters},
        "service_account": SERVICE_ACCOUNT,
    }
    answer = api.ask("POST", RUNS, body=body)
    if not answer.get("run_id"):
        raise KfpError(0, "the answer names no run")
    return run_state(answer)


def _settling_time(error: KfpError) -> float:
    """How long the run may still show itself after a failed request; raises what no repetition changes."""
    if not error.passing and error.status != EXISTS:
        raise error
    return max(error.retry_after, THROTTLED_SECONDS) if error.status == TOO_MANY else SETTLED_SECONDS


def _wait_for(api: KfpApi, wanted: Order, experiment: str, seconds: float) -> RunState | None:
    """Look for the run, at first often, then twice a minute; by its name only in the end, since KFP keeps ids."""
    until, pause = api.pace.clock() + seconds, FIRST_PAUSE_SECONDS
    while (left := until - api.pace.clock()) > 0:
        api.pace.sleep(min(pause, left))
        if found := read_run(api, wanted.run_id):
            return found
        pause = min(2 * pause, api.pace.waiting.longest)
    return _find(api, wanted, experiment)
