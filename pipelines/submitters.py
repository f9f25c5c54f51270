"""The two ways to submit: a release that Argo CD applied, and a recipe from a laptop."""

from pathlib import Path

from data.errors import AerieError
from data.files import is_s3
from pipelines.kfp_client import KfpApi
from pipelines.release import (
    PIPELINE,
    RECIPE_NAME,
    check_images,
    compile_manifests,
    describe,
    read_release,
    submittable,
)
from pipelines.submission import Outcome, order, submit
from pipelines.versions import upload_version, wait_for_version


def from_release(api: KfpApi, folder: Path, storage_uri: str, training_runtime: str, nonce: str = "") -> Outcome:
    """Submit a release folder; KFP shows its version when Argo CD has applied it."""
    release, recipe_file = read_release(folder), str(folder / RECIPE_NAME)
    wanted = order(release, submittable(recipe_file), _reachable(storage_uri), training_runtime, nonce)
    return submit(api, wanted, recipe_file, lambda: wait_for_version(api, release.pipeline, release.version))


def from_recipe(api: KfpApi, recipe_file: str, storage_uri: str, training_runtime: str, nonce: str = "") -> Outcome:
    """Compile, upload the version when KFP doesn't have it, and submit: the same run as an equal release's."""
    recipe, storage_uri = submittable(recipe_file), _reachable(storage_uri)
    manifests = compile_manifests()
    check_images(manifests)
    name = manifests.version["metadata"]["name"]
    wanted = order(describe(recipe_file, name), recipe, storage_uri, training_runtime, nonce)
    title = manifests.pipeline["spec"]["displayName"]
    return submit(api, wanted, recipe_file, lambda: upload_version(api, PIPELINE, title, name, manifests.package()))


def _reachable(storage_uri: str) -> str:
    if not is_s3(storage_uri):
        given = repr(storage_uri) if storage_uri else "nothing"
        raise AerieError(
            f"a cluster's pods share files by object storage: give --storage s3://BUCKET/PREFIX or AERIE_STORAGE_URI, "
            f"not {given}"
        )
    return storage_uri
