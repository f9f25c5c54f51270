"""`make audit` tells a clean answer, a vulnerability and no answer apart; the advisories come from an OSV server."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ADVISORY = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "summary": "planted",
    "details": "planted",
    "affected": [{"package": {"name": "pyyaml", "ecosystem": "PyPI"}, "ranges": []}],
}
pytestmark = pytest.mark.skipif(not (BIN / "pip-audit").exists(), reason="needs pip-audit")


class Osv(BaseHTTPRequestHandler):
    """OSV's query: the advisories of one package; the server's `vulnerable` names those that have one."""

    def do_POST(self):
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = query["package"]["name"] in self.server.vulnerable
        body = json.dumps({"vulns": [ADVISORY]} if found else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *values):
        pass


@pytest.fixture
def osv():
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        server.vulnerable = set()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def audit(port):
    command = ["sh", "containers/audit.sh", str(BIN), "--vulnerability-service", "osv"]
    command += ["--osv-url", f"http://127.0.0.1:{port}/v1/query"]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_no_advisory_is_a_clean_audit(osv):
    done = audit(osv.server_port)
    assert (done.returncode, done.stderr) == (0, "")
    assert "No known vulnerabilities found" in done.stdout


def test_an_advisory_fails_it(osv):
    osv.vulnerable.add("pyyaml")
    done = audit(osv.server_port)
    assert done.returncode == 1
    assert "GHSA-aaaa-bbbb-cccc" in done.stdout


def test_a_service_that_does_not_answer_is_not_a_clean_audit(osv):
    osv.shutdown()
    osv.server_close()
    done = audit(osv.server_port)
    assert done.returncode == 3
    assert "this is not a clean audit" in done.stderr
