"""Release files: what Git holds, Argo CD applies and the retraining hook submits.

    pipeline.yaml           KFP `Pipeline`, sync wave 0
    pipeline-version.yaml   KFP `PipelineVersion`, sync wave 1, named by its content: it can't be changed, only added
    recipe.yaml             copy of the recipe
    release.json            the names and hashes that identify a retraining run

Equal code, recipe, dvc.lock and images give equal bytes, so Git shows a difference exactly when a run would differ.
"""

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from components.images import DATA_IMAGE, EVAL_IMAGE, LOCAL, PINNED, STAGE_IMAGE, TRAIN_IMAGE
from data.errors import AerieError
from data.files import read_bytes, write_bytes
from model.recipe import Recipe, load_recipe
from pipelines.placement import ENDPOINT
from pipelines.recipe_places import local_places

PIPELINE, VERSION_PREFIX, NAMESPACE = "aerie-end-to-end", "end-to-end", "aerie"
IMAGES = {"data": DATA_IMAGE, "eval": EVAL_IMAGE, "stage": STAGE_IMAGE, "train": TRAIN_IMAGE}
SYNC_WAVE = "argocd.argoproj.io/sync-wave"
RELEASE_NAME, RECIPE_NAME, DATA_LOCK = "release.json", "recipe.yaml", "dvc.lock"
DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What identifies a run: KFP's names of pipeline and version, the recipe and the data version.

    `recipe` is the recipe's file as it was named, `dataset_version` the sha256 of dvc.lock; `images` are notes.
    """

    pipeline: str
    version: str
    recipe: str
    recipe_sha256: str
    dataset_version: str
    images: dict[str, str]

    def to_json(self) -> str:
        """Sorted, one key a line: differences read well."""
        return json.dumps(asdict(self), sort_keys=True, indent=2) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """The compiled pipeline as the two Kubernetes resources of KFP's store."""

    pipeline: dict[str, Any]
    version: dict[str, Any]

    def package(self) -> bytes:
        """The same pipeline as the YAML that KFP takes as an upload."""
        spec = self.version["spec"]
        return _yaml(spec["pipelineSpec"], *([spec["platformSpec"]] if "platformSpec" in spec else [])).encode()


def compile_manifests() -> Manifests:
    """Compile `end_to_end`; the version's name is the hash of all that KFP will execute."""
    from kfp.compiler import Compiler
    from kfp.compiler.compiler_utils import KubernetesManifestOptions

    from pipelines.end_to_end import end_to_end

    options = KubernetesManifestOptions(
        pipeline_name=PIPELINE,
        pipeline_display_name=end_to_end.pipeline_spec.pipeline_info.display_name,
        pipeline_version_name=VERSION_PREFIX,
        namespace=NAMESPACE,
        include_pipeline_manifest=True,
    )
    with tempfile.TemporaryDirectory(prefix="aerie-compiled-") as folder:
        path = Path(folder) / "manifests.yaml"
        Compiler().compile(end_to_end, str(path), kubernetes_manifest_format=True, kubernetes_manifest_options=options)
        pipeline, version = yaml.safe_load_all(path.read_text())
    name = version_name(version["spec"])
    version["metadata"] |= {"name": name, "annotations": {SYNC_WAVE: "1"}}
    version["spec"]["displayName"] = name
    pipeline["metadata"]["annotations"] = {SYNC_WAVE: "0"}
    return Manifests(pipeline=pipeline, version=version)


def version_name(spec: dict[str, Any]) -> str:
    """end-to-end-<12 hex digits> of a PipelineVersion's spec: the pipeline and its Kubernetes settings."""
    content = {part: spec.get(part) for part in ("pipelineSpec", "platformSpec")}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"{VERSION_PREFIX}-{hashlib.sha256(text.encode()).hexdigest()[:DIGITS]}"


def describe(recipe_file: str, version: str, data_lock: Path = Path(DATA_LOCK)) -> Release:
    """The release of a recipe with a compiled version, in the project's folder; `AerieError` as in the checks."""
    recipe = submittable(recipe_file)
    return Release(
        pipeline=PIPELINE,
        version=version,
        recipe=_portable(recipe_file),
        recipe_sha256=recipe.sha256,
        dataset_version=dataset_version(data_lock),
        images=IMAGES,
    )


def write_release(recipe_file: str, folder: Path, data_lock: Path = Path(DATA_LOCK)) -> Release:
    """Write the release files; nothing is written when a check fails."""
    release = describe(recipe_file, "", data_lock)  # before the seconds that compiling takes
    manifests = compile_manifests()
    check_images(manifests)
    release = replace(release, version=manifests.version["metadata"]["name"])
    write_bytes(str(folder / "pipeline.yaml"), _yaml(manifests.pipeline).encode())
    write_bytes(str(folder / "pipeline-version.yaml"), _yaml(manifests.version).encode())
    write_bytes(str(folder / RECIPE_NAME), read_bytes(recipe_file))
    write_bytes(str(folder / RELEASE_NAME), release.to_json().encode())
    return release


def read_release(folder: Path) -> Release:
    """A written release, checked against its copy of the recipe."""
    path = str(folder / RELEASE_NAME)
    try:
        release = Release(**json.loads(read_bytes(path)))
    except (ValueError, TypeError):
        raise AerieError(f"{path} is damaged; write it again with: aerie release") from None
    if submittable(str(folder / RECIPE_NAME)).sha256 != release.recipe_sha256:
        raise AerieError(f"{folder / RECIPE_NAME} is not the recipe of {path}; write both again with: aerie release")
    return release


def dataset_version(data_lock: Path = Path(DATA_LOCK)) -> str:
    """The sha256 of dvc.lock, which holds the hash of every data step's output."""
    if not data_lock.is_file():
        raise AerieError(f"no {data_lock} here: it names the data version; make it with: dvc repro")
    return hashlib.sha256(data_lock.read_bytes()).hexdigest()


def submittable(recipe_file: str) -> Recipe:
    """A recipe that a cluster can run: cards, caches of paid answers and keys are where its pods find them."""
    recipe = load_recipe(recipe_file)
    if recipe.data.cards is not None:
        raise AerieError(
            f"{recipe_file}: data.cards is {recipe.data.cards!r}, a folder of this machine that a cluster can't read; "
            "move its cards to data/registry/cards/ and drop the key"
        )
    _, written = local_places(yaml.safe_load(read_bytes(recipe_file)))
    if lost := [place for place in written if Path(place).is_absolute()]:
        raise AerieError(
            f"{recipe_file}: cache_uri is {lost[0]}, where what an endpoint was paid for would end with its pod; write "
            "s3://..., or a path relative to the recipe, which lies in STORAGE/recipes there"
        )
    if other := {place: name for name, place in recipe.endpoint_keys().items() if name != ENDPOINT.key}:
        place, name = next(iter(other.items()))
        raise AerieError(
            f"{recipe_file}: {place} wants its key in {name}, which no pod has; write api_key_env: {ENDPOINT.key}, "
            f"which comes from the Secret aerie-{ENDPOINT.name}"
        )
    return recipe


def check_images(manifests: Manifests) -> None:
    """Every image is pinned, since a moving tag makes KFP's cache serve results of older code; or of this machine."""
    executors = manifests.version["spec"]["pipelineSpec"]["deploymentSpec"]["executors"].values()
    for reference in sorted({*IMAGES.values(), *(entry["container"]["image"] for entry in executors)}):
        if not PINNED.match(reference) and not reference.startswith(LOCAL):
            raise AerieError(
                f"image {reference} is not pinned; name the images as NAME@sha256:<64 hex digits> in AERIE_DATA_IMAGE, "
                "AERIE_EVAL_IMAGE, AERIE_STAGE_IMAGE and AERIE_TRAIN_IMAGE"
            )


def local_images() -> list[str]:
    """The images that only this machine has."""
    return sorted({reference for reference in IMAGES.values() if reference.startswith(LOCAL)})


def _portable(recipe_file: str) -> str:
    """The path below the current folder, or only the file's name: no machine's paths in Git."""
    path = Path(recipe_file).resolve()
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else path.name


def _yaml(*documents: dict[str, Any]) -> str:
    return yaml.safe_dump_all(documents, sort_keys=True, allow_unicode=True)
