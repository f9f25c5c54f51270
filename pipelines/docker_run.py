"""KFP's DockerRunner for `aerie run --runner docker`: the images of `make images`, no root, the host's network."""

import contextlib
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data.errors import AerieError
from data.files import is_s3

USER = 10001  # the images' user
STAGE_IMAGE = "localhost/aerie-python-train:0.1.0-local"
PASSED_ON = (
    *("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"),
    "OPENBLAS_CORETYPE",  # which kernels numpy takes: with others the last digits are not those of plain processes
    *("OMP_NUM_THREADS", "WANDB_API_KEY", "WANDB_MODE"),
    *("MODEL_REGISTRY_URL", "MODEL_REGISTRY_TOKEN", "AERIE_ENDPOINT_API_KEY", "AERIE_GIT_SHA"),
)
LABEL = {"aerie.dev/process": uuid.uuid4().hex}  # of the containers that this process starts
NOWHERE = {"HOME": "/tmp", "USER": "aerie"}  # the host's user is unknown inside


def choose_stage_image() -> None:
    """Stages train inside their own tasks here, so their image holds kfp as well; call before components load."""
    os.environ.setdefault("AERIE_STAGE_IMAGE", STAGE_IMAGE)


def docker_runner(folder: str, read: Sequence[str] = (), written: Sequence[str] = (), keys: Sequence[str] = ()) -> Any:
    """The runner; `AerieError` when no engine answers or an image is missing.

    The containers see the run's `folder` (unless it lies in a store) and what the recipe has on this machine: files
    and folders that steps `read`, as benchmarks' data, and folders that are `written` to, as answers that were paid
    for. They see the store's address and keys as environment variables, those of the recipe's endpoints (the variables
    `keys`) too, and the host's network, so that a store on this machine is reachable for them.
    """
    from kfp import local

    check_images()
    environment = {name: os.environ[name] for name in (*PASSED_ON, *keys) if name in os.environ}
    return local.DockerRunner(
        network_mode="host",
        user=f"{_user()}:{_group()}",
        environment=NOWHERE | environment,
        mounts=_mounts(folder, read, written),
        labels=LABEL,
        shm_size="1g",
    )


def check_images() -> None:
    """Before anything starts: does an engine answer, and has it the three images that the pipeline names?"""
    import docker

    from components.images import DATA_IMAGE, EVAL_IMAGE, STAGE_IMAGE

    try:
        with contextlib.closing(docker.from_env()) as client:
            images = client.images.list()
    except docker.errors.DockerException as error:
        raise AerieError(
            f"no Docker engine answers ({type(error).__name__}); start one, or leave out --runner docker"
        ) from None
    known = {name for found in images for name in (*found.tags, *(found.attrs.get("RepoDigests") or ()))}
    missing = [name for name in sorted({DATA_IMAGE, EVAL_IMAGE, STAGE_IMAGE}) if name not in known]
    if missing:
        raise AerieError(f"the Docker engine has no image {', '.join(missing)}; build them with make images")


@contextlib.contextmanager
def lend(scratch: str, names: tuple[str, ...]) -> Iterator[None]:
    """Make folders in `scratch`, which the containers' user may write like all that KFP makes there meanwhile.

    At the end no container goes on working there: KFP leaves the running one behind when it is interrupted.
    """
    for name in names:  # what is missing Docker would make, and it would be root's
        Path(scratch, name).mkdir()
    before = os.umask(0)  # root's containers have another user; no third one can enter the scratch folder
    if os.getuid():
        os.umask(before)
    else:
        _give(scratch)
    try:
        yield
    finally:
        os.umask(before)
        _kill_leftovers()


def _kill_leftovers() -> None:
    import docker

    with contextlib.suppress(docker.errors.DockerException), contextlib.closing(docker.from_env()) as client:
        for container in client.containers.list(filters={"label": [f"{key}={value}" for key, value in LABEL.items()]}):
            container.kill()


def _user() -> int:
    """Files belong to who starts a run; only root's containers run as the images' own user."""
    return os.getuid() or USER


def _group() -> int:
    return os.getgid() if os.getuid() else USER


def _mounts(folder: str, read: Sequence[str], written: Sequence[str]) -> list[Any]:
    from docker.types import Mount

    registry = Path(folder).with_name("registry")  # of accepted checkpoints, beside all runs
    own = [] if is_s3(folder) else [folder, str(registry)]
    if missing := [place for place in read if not Path(place).exists()]:
        raise AerieError(f"the recipe names {', '.join(missing)}, which is not there; correct its path")
    mounts = [Mount(place, place, type="bind", read_only=True) for place in read]
    for place in (*own, *written):
        Path(place).mkdir(parents=True, exist_ok=True)
        if not os.getuid():
            _give(place)
        mounts.append(Mount(place, place, type="bind"))
    return mounts


def _give(folder: str) -> None:
    """Root hands a folder to the containers' user, and keeps its own rights."""
    for path, _, files in os.walk(folder):
        for name in (path, *(os.path.join(path, file) for file in files)):
            os.chown(name, USER, USER, follow_symlinks=False)
