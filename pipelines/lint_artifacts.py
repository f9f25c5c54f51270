"""Rules about artifacts, importers and volumes: how data travels."""

from collections.abc import Iterator

from pipelines.lint_package import Package
from pipelines.lint_rule import Rule, Trouble

SMALL_ARTIFACTS = {"system.Metrics", "system.ClassificationMetrics", "system.HTML", "system.Markdown"}
BAD_SCHEMES = ("hf://", "pvc://")


def input_artifact(package: Package) -> Iterator[Trouble]:
    """A pod that takes a data set or a model as an artifact."""
    for task in package.pods:
        for name, entry in task.component.get("inputDefinitions", {}).get("artifacts", {}).items():
            kind = entry["artifactType"].get("schemaTitle", "system.Artifact")
            if kind not in SMALL_ARTIFACTS:
                yield task.path, f"input {name} is an artifact ({kind})"


def importer_source(package: Package) -> Iterator[Trouble]:
    """An importer whose URI another task computes."""
    for task in package.tasks:
        parameter = task.importer.get("artifactUri", {}).get("runtimeParameter")
        if parameter and task.origin(parameter)[0] not in {"constant", "input"}:
            yield task.path, "the importer's URI comes from a task or a loop"


def importer_scheme(package: Package) -> Iterator[Trouble]:
    """An importer of something the launcher can't download."""
    for task in package.tasks:
        uri = task.importer.get("artifactUri", {})
        text = uri.get("constant", "")
        if "runtimeParameter" in uri:
            kind, value = task.origin(uri["runtimeParameter"])
            text = package.inputs.get(value, {}).get("defaultValue", "") if kind == "input" else value
        if isinstance(text, str) and text.startswith(BAD_SCHEMES):
            yield task.path, f"the importer reads {text}"


def created_volume(package: Package) -> Iterator[Trouble]:
    """A volume claim made by the pipeline."""
    for task in package.tasks:
        if task.container.get("image", "").endswith("/createpvc"):
            yield task.path, "the pipeline creates a volume claim"


def shared_memory_passthrough(package: Package) -> Iterator[Trouble]:
    """A component that hands its volumes to a TrainJob, placed with an emptyDir."""
    for task in package.pods:
        fields = {entry["field"] for entry in task.component.get("taskConfigPassthroughs", [])}
        if "KUBERNETES_VOLUMES" in fields and "emptyDirMounts" in task.extras:
            yield task.path, "an emptyDir is mounted where volumes are passed through by TaskConfig"


RULES = (
    Rule(
        name="input-artifact",
        fact="every input artifact is downloaded, file by file, before user code, into an emptyDir",
        remedy="pass a string URI and the sha256 of its manifest",
        check=input_artifact,
    ),
    Rule(
        name="importer-source",
        fact="importer URIs must be constants or pipeline inputs",
        remedy="make the URI a pipeline parameter, or pass it on as a string without importing it",
        check=importer_source,
    ),
    Rule(
        name="importer-scheme",
        fact="hf:// and pvc:// inputs fail on the backend",
        remedy="fetch it in a CPU step into s3:// and pass that URI",
        check=importer_scheme,
    ),
    Rule(
        name="created-volume",
        fact="CreatePVC leaks the claim when the run fails",
        remedy="write to storage_uri, or mount a claim that exists",
        check=created_volume,
    ),
    Rule(
        name="shared-memory-passthrough",
        fact="TaskConfig never passes an emptyDir on, so the TrainJob has no /dev/shm",
        remedy="put the shm volume into the ClusterTrainingRuntime",
        check=shared_memory_passthrough,
    ),
)
