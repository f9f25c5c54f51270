"""What `aerie run --runner docker` asks the engine for, against an HTTP server that answers as an engine does."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.images import DATA_IMAGE, EVAL_IMAGE, STAGE_IMAGE
from data.errors import AerieError
from pipelines.docker_run import check_images, docker_runner

PLANTED = "planted-value-that-no-step-may-see"


class Engine(BaseHTTPRequestHandler):
    """Docker's API, as far as listing images goes; the server's `images` are its tags."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path.endswith("/version"):
            answer = {"ApiVersion": "1.41"}
        elif path.endswith("/images/json"):
            answer = [{"Id": f"sha256:{number:064x}"} for number in range(len(self.server.images))]
        else:
            number = int(path.split("sha256:")[1].removesuffix("/json"), 16)
            answer = {"Id": f"sha256:{number:064x}", "RepoTags": [self.server.images[number]], "RepoDigests": None}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *values):
        pass


@pytest.fixture
def engine(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        server.images = sorted({DATA_IMAGE, EVAL_IMAGE, STAGE_IMAGE})
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


def test_without_an_engine_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    with pytest.raises(AerieError, match=r"no Docker engine answers.*leave out --runner docker"):
        check_images()


@pytest.mark.parametrize("image", sorted({DATA_IMAGE, EVAL_IMAGE, STAGE_IMAGE}))
def test_a_missing_image_is_named(engine, image):
    engine.images.remove(image)
    with pytest.raises(AerieError, match=rf"no image {image}; build them with make images"):
        check_images()


def test_steps_get_the_store_and_nothing_else_of_the_environment(engine, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    monkeypatch.setenv("OTHER_TOKEN", PLANTED)
    monkeypatch.setenv("JUDGES_KEY", "of the recipe")
    wanted = docker_runner("s3://aerie/runs/first", keys=["JUDGES_KEY"]).container_run_args
    assert wanted["environment"]["JUDGES_KEY"] == "of the recipe"
    assert wanted["environment"]["AWS_SECRET_ACCESS_KEY"] == "key"
    assert PLANTED not in str(wanted)
    assert wanted["mounts"] == []


def test_steps_are_not_root_and_see_the_runs_folder_and_the_registry_only(engine, tmp_path):
    run, cards, words, paid = (tmp_path / name for name in ("run", "cards", "words.json", "paid"))
    for folder in (run, cards):
        folder.mkdir()
    words.touch()
    (run / "recipe.yaml").write_text("name: mini")
    wanted = docker_runner(str(run), [str(cards), str(words)], [str(paid)]).container_run_args
    uid = int(wanted["user"].partition(":")[0])
    assert uid > 0
    assert [(mount["Target"], mount["ReadOnly"]) for mount in wanted["mounts"]] == [
        (str(cards), True),
        (str(words), True),
        (str(run), False),
        (str(tmp_path / "registry"), False),
        (str(paid), False),
    ]
    assert {path.stat().st_uid for path in (run, run / "recipe.yaml", tmp_path / "registry", paid)} == {uid}
    with pytest.raises(AerieError, match=r"names .*/gone, which is not there"):
        docker_runner(str(run), [str(tmp_path / "gone")])
