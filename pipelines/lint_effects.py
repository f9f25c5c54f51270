"""Rules about caching, retries and the end of a run: tasks that act on the world outside their outputs.

Which tasks do that is read from the IR: a task acts when it takes one of ACTING_INPUTS, when its name holds one of
ACTING_WORDS, when it is an exit task, or when it stands in the table ALWAYS_RUN with the reason.
"""

from collections.abc import Iterator

from pipelines.lint_package import Package, Task
from pipelines.lint_rule import PIPELINE, Rule, Trouble

ACTING_INPUTS = {"training_runtime": "launches TrainJobs", "kfp_run_id": "acts for this one KFP run"}
ACTING_WORDS = {"launch", "submit", "publish", "push", "deploy", "notify", "send", "delete", "cleanup"}
ALWAYS_RUN = {
    "enforcement": "gives the verdict that each run must show",
    "promotion": "reads the registry of accepted checkpoints, which no parameter describes",
    "acceptance": "gives the verdict that each run must show, and enters checkpoints into the registry",
    "report": "reads the whole run folder, more than its parameters say",
}
# Inputs by which a repeated task finds what an earlier try left: it commits into STORAGE/RUN or names its job by it.
IDENTITY = {"run_id", "kfp_run_id"}
EXIT_HANDLER = "exit-handler-"


def acts(task: Task) -> str:
    """Why a task must run every time; empty for a pure one."""
    for name, reason in ACTING_INPUTS.items():
        if name in task.inputs:
            return reason
    if ACTING_WORDS & set(task.function.split("_")):
        return f"is named {task.function}"
    return "is an exit task" if task.is_exit_task else ALWAYS_RUN.get(task.function, "")


def launches(task: Task) -> bool:
    """True for a task that starts TrainJobs (an exit task that takes the runtime's name only ends them)."""
    return "training_runtime" in task.inputs and bool(task.container) and not task.is_exit_task


def cached_effect(package: Package) -> Iterator[Trouble]:
    """A side effect that a cache hit would skip."""
    for task in package.pods:
        reason = acts(task)
        if reason and task.cached:
            yield task.path, f"caching is on, but the task {reason}"


def cached_blindly(package: Package) -> Iterator[Trouble]:
    """A cached task that knows its data by place only."""
    for task in package.pods:
        places = [name for name in task.inputs if name.endswith(("_uri", "_url", "_path", "_folder"))]
        if task.cached and places and not any(name.endswith("_sha256") for name in task.inputs):
            yield task.path, f"caching is on and {places[0]} says where the data lies, but no parameter says what it is"


def cached_environment(package: Package) -> Iterator[Trouble]:
    """A cached task that a literal environment variable steers."""
    for task in package.pods:
        names = [entry["name"] for entry in task.container.get("env", [])]
        if task.cached and names:
            yield task.path, f"caching is on and the environment sets {', '.join(names)}"


def custom_cache_key(package: Package) -> Iterator[Trouble]:
    """A cache key of one's own."""
    for task in package.tasks:
        if "cacheKey" in task.spec.get("cachingOptions", {}):
            yield task.path, "a custom cache key is set"


def unsafe_repeat(package: Package) -> Iterator[Trouble]:
    """A task whose repeat can't know the first try: asked for by a retry policy, or by Argo for any task that acts."""
    for task in package.pods:
        repeated = "retryPolicy" in task.spec or (acts(task) and "training_runtime" in task.inputs)
        if repeated and not IDENTITY & set(task.inputs):
            yield task.path, "the task can run more than once and takes neither run_id nor kfp_run_id"


def missing_exit_handler(package: Package) -> Iterator[Trouble]:
    """A launching task that no exit task stands behind."""
    roots = package.children(None)
    covered = {
        name
        for task in roots.values()
        if task.is_exit_task and "kfp_run_id" in task.inputs
        for name in task.spec.get("dependentTasks", [])
    }
    for task in package.tasks:
        if launches(task) and task.root.name not in covered:
            yield task.path, "the task launches a TrainJob outside an exit handler that takes kfp_run_id"


def exit_strategy(package: Package) -> Iterator[Trouble]:
    """A task meant for the end of the run that a failure would skip."""
    for task in package.tasks:
        waits = any(name.startswith(EXIT_HANDLER) for name in task.spec.get("dependentTasks", []))
        asks = any(task.origin(name)[0] == "status" for name in task.spec.get("inputs", {}).get("parameters", {}))
        # The output of a task inside the handler makes it an ordinary successor, not an exit task.
        reads = any(task.origin(name)[0] == "output" for name in task.inputs)
        if (asks or (waits and not reads)) and not task.is_exit_task:
            yield task.path, "an exit task runs only when everything before it succeeded"


def missing_lifetime(package: Package) -> Iterator[Trouble]:
    """No time to live for the workflow."""
    config = package.platform.get("pipelineConfig", {})
    if "resourceTtlOnCompletion" not in config and not {"resourceTtlOnSuccess", "resourceTtlOnFailure"} <= set(config):
        yield PIPELINE, "no time to live is set for both success and failure"


RULES = (
    Rule(
        name="cached-effect",
        fact="a cache hit skips the task and with it the side effect",
        remedy="set_caching_options(False)",
        check=cached_effect,
    ),
    Rule(
        name="cached-blindly",
        fact="cache keys hold no content, so changed data behind an equal URI gives old results",
        remedy="pass the content's sha256 as a parameter, or switch caching off",
        check=cached_blindly,
    ),
    Rule(
        name="cached-environment",
        fact="cache keys hold no environment",
        remedy="pass the value as a parameter, or switch caching off",
        check=cached_environment,
    ),
    Rule(
        name="custom-cache-key",
        fact="released backends up to 2.17.0 ignore it",
        remedy="pass content hashes as parameters",
        check=custom_cache_key,
    ),
    Rule(
        name="unsafe-repeat",
        fact="Argo repeats every template twice on errors, so a repeat must find what the first try left",
        remedy="take run_id (commit into its folder) or kfp_run_id (deterministic TrainJob name, adopt on 409)",
        check=unsafe_repeat,
    ),
    Rule(
        name="missing-exit-handler",
        fact="terminating a run leaves a launched TrainJob holding its GPUs",
        remedy="put everything into dsl.ExitHandler with a task that deletes the run's TrainJobs by kfp_run_id",
        check=missing_exit_handler,
    ),
    Rule(
        name="exit-strategy",
        fact="without ALL_UPSTREAM_TASKS_COMPLETED the task is skipped after a failure, just when it is needed",
        remedy="make it the exit task of dsl.ExitHandler, or call ignore_upstream_failure()",
        check=exit_strategy,
    ),
    Rule(
        name="missing-lifetime",
        fact="workflows, with their pods and logs, go after 1 h by default",
        remedy="pipeline_config=dsl.PipelineConfig(ttl_seconds_after_success=..., ttl_seconds_after_failure=...)",
        check=missing_lifetime,
    ),
)
