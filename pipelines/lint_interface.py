"""Rules about what people see: parameters and texts in the UI, names of versions in Git."""

from collections.abc import Iterator

from pipelines.lint_package import Package
from pipelines.lint_rule import PIPELINE, Rule, Trouble

MOST_PARAMETERS = 8


def many_parameters(package: Package) -> Iterator[Trouble]:
    """A form that nobody fills in by hand."""
    if len(package.inputs) > MOST_PARAMETERS:
        yield PIPELINE, f"{len(package.inputs)} parameters, at most {MOST_PARAMETERS}"


def undocumented(package: Package) -> Iterator[Trouble]:
    """A text that the UI would show is missing."""
    info = package.spec["pipelineInfo"]
    for key, words in {"displayName": "display name", "description": "description"}.items():
        if not info.get(key):
            yield PIPELINE, f"the pipeline has no {words}"
    for name, entry in package.inputs.items():
        if not entry.get("description"):
            yield PIPELINE, f"parameter {name} has no description"


def moving_version(package: Package) -> Iterator[Trouble]:
    """A PipelineVersion whose name doesn't follow from its content."""
    from pipelines.release import version_name

    if package.manifest:
        name = package.manifest.get("metadata", {}).get("name", "")
        digest = version_name(package.manifest["spec"]).rpartition("-")[2]
        if not name.endswith(f"-{digest}"):
            yield PIPELINE, f"PipelineVersion {name} isn't named by the hash of its content, {digest}"


RULES = (
    Rule(
        name="many-parameters",
        fact="the UI shows one form field a parameter",
        remedy="put settings into the recipe and pass its URI and sha256",
        check=many_parameters,
    ),
    Rule(
        name="undocumented",
        fact="the UI shows display names and descriptions, taken from the pipeline's decorator and docstring",
        remedy="write it in @dsl.pipeline or in the docstring's Args",
        check=undocumented,
    ),
    Rule(
        name="version-name",
        fact="a PipelineVersion is immutable and its default name is the pipeline's",
        remedy="generate the manifests with aerie release",
        check=moving_version,
    ),
)
