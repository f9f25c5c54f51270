"""Steps in real containers on a local folder: who they are, whose their files are, and how their failures come back."""

import os
import signal
import threading
import time
from pathlib import Path

import docker
import pytest
from kfp import compiler, dsl
from rich.console import Console

from components.images import DATA_IMAGE
from data.errors import AerieError
from pipelines.docker_run import LABEL, USER
from pipelines.local_run import StepFailedError, execute, new_run

ROOT = Path(__file__).resolve().parents[2]
MINE = [f"{key}={value}" for key, value in LABEL.items()]
pytestmark = pytest.mark.docker


@dsl.component(base_image=DATA_IMAGE, install_kfp_package=False)
def act(storage_uri: str, run_id: str, recipe_uri: str, behaviour: str):
    import os
    import time
    from pathlib import Path

    from components.door import open_door
    from data.errors import AerieError

    with open_door("act", storage_uri, run_id):
        if behaviour == "endless":
            time.sleep(600)
        if behaviour == "user-mistake":
            raise AerieError("row 3 is empty")
        if behaviour == "bug":
            raise ZeroDivisionError("division by nothing")
        name = Path(recipe_uri).read_text().split("name: ")[1].split()[0]
        Path(storage_uri, run_id, "act.txt").write_text(f"{os.getuid()} {name}")


def run_of(tmp_path, behaviour):
    @dsl.pipeline(name="acting")
    def acting(
        recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, sources: list, training_runtime: str
    ):
        act(storage_uri=storage_uri, run_id=run_id, recipe_uri=recipe_uri, behaviour=behaviour)

    tmp_path.mkdir(exist_ok=True)
    package = tmp_path / "acting.yaml"
    compiler.Compiler().compile(acting, str(package))
    return new_run(str(ROOT / "pipelines/recipes/mini.yaml"), str(tmp_path / "runs"), "first"), package


def test_a_step_is_not_root_and_writes_into_the_runs_folder(tmp_path):
    run, package = run_of(tmp_path, "good")
    (result,) = execute(run, package, Console(quiet=True), "docker")
    assert result.step == "act"
    written = tmp_path / "runs/first/act.txt"
    user = os.getuid() or USER
    assert written.read_text() == f"{user} mini"
    assert written.stat().st_uid == user


@pytest.mark.parametrize("repetition", range(3))  # KFP's DockerRunner may miss the status of a container that is gone
def test_a_failed_step_is_never_a_success(tmp_path, repetition):
    run, package = run_of(tmp_path, "user-mistake")
    with pytest.raises(AerieError, match="act: row 3 is empty"):
        execute(run, package, Console(quiet=True), "docker")
    run, package = run_of(tmp_path / "again", "bug")
    with pytest.raises(StepFailedError, match=r"step act broke(?s:.*)division by nothing"):
        execute(run, package, Console(quiet=True), "docker")


def test_an_interrupted_run_leaves_no_container_behind(tmp_path):
    run, package = run_of(tmp_path, "endless")
    client = docker.from_env()

    def interrupt():
        while not client.containers.list(filters={"label": MINE}):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    # a shell's background job ignores the signal, and so would this process
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            execute(run, package, Console(quiet=True), "docker")
    finally:
        signal.signal(signal.SIGINT, before)
    assert client.containers.list(filters={"label": MINE}) == []
