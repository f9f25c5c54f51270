"""KFP's DockerRunner for `aerie run --runner docker`: images of `make images`, their own user, the host's network."""

import os
from pathlib import Path
from typing import Any

from data.errors import AerieError
from data.files import is_s3

USER = 10001  # the images' user, which must be able to write what KFP mounts
STAGE_IMAGE = "localhost/aerie-python-train:0.1.0-local"
PASSED_ON = (
    *("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"),
    *("OMP_NUM_THREADS", "WANDB_API_KEY", "WANDB_MODE"),
)


def choose_stage_image() -> None:
    """Stages train inside their own tasks here, so their image holds kfp as well; call before components load."""
    os.environ.setdefault("AERIE_STAGE_IMAGE", STAGE_IMAGE)


def docker_runner(storage_uri: str) -> Any:
    """The runner; `AerieError` when no engine answers, an image is missing, or a local storage folder can't be written.

    The containers get the storage's address and keys as environment variables, and the host's network, so that a store
    on this machine is reachable for them.
    """
    from kfp import local

    check_images()
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    mounts = [] if is_s3(storage_uri) else [_storage_mount(storage_uri)]
    return local.DockerRunner(network_mode="host", environment=environment, mounts=mounts, shm_size="1g")


def check_images() -> None:
    """Before anything starts: does an engine answer, and has it the three images that the pipeline names?"""
    import docker

    from components.images import DATA_IMAGE, EVAL_IMAGE, STAGE_IMAGE

    try:
        client = docker.from_env()
        known = {tag for found in client.images.list() for tag in found.tags}
        known |= {digest for found in client.images.list() for digest in found.attrs.get("RepoDigests") or ()}
    except docker.errors.DockerException as error:
        raise AerieError(
            f"no Docker engine answers ({type(error).__name__}); start one, or leave out --runner docker"
        ) from None
    missing = [name for name in (DATA_IMAGE, EVAL_IMAGE, STAGE_IMAGE) if name not in known]
    if missing:
        raise AerieError(f"the Docker engine has no image {', '.join(missing)}; build them with make images")


def _storage_mount(folder: str) -> Any:
    import docker

    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    if not path.stat().st_mode & 0o002 and path.stat().st_uid != USER:
        raise AerieError(
            f"{folder} can't be written by the containers' user {USER}; run chmod 777 {folder}, or store on s3://"
        )
    return docker.types.Mount(target=folder, source=folder, type="bind")
