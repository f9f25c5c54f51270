"""The folders of infra/ as kustomize builds them."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
OVERLAYS = sorted(path.name for path in (INFRA / "overlays").iterdir())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod template: where it stands, the object it belongs to, and itself."""

    where: str
    owner: dict[str, Any]
    metadata: dict[str, Any]
    spec: dict[str, Any]

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.get("labels", {})

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What `kubectl kustomize` makes of a folder."""

    name: str
    documents: tuple[dict[str, Any], ...]

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """All objects of some kinds."""
        return [document for document in self.documents if document["kind"] in kinds]

    def one(self, kind: str, name: str) -> dict[str, Any]:
        """The object of a kind and a name."""
        (found,) = [item for item in self.of(kind) if item["metadata"]["name"] == name]
        return found

    def pods(self) -> list[Pod]:
        """All pod templates, in whatever kind of object."""
        return [pod for document in self.documents for pod in _pods(document, document, document["kind"])]

    def flavor(self, name: str) -> dict[str, str]:
        """A flavor's quota by resource, as the only ClusterQueue grants it."""
        (queue,) = self.of("ClusterQueue")
        (group,) = queue["spec"]["resourceGroups"]
        (flavor,) = [flavor for flavor in group["flavors"] if flavor["name"] == name]
        return {resource["name"]: resource["nominalQuota"] for resource in flavor["resources"]}


def _pods(node: Any, owner: dict[str, Any], where: str) -> Iterator[Pod]:
    if isinstance(node, list):
        for item in node:
            yield from _pods(item, owner, where)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("spec"), dict) and "containers" in node["spec"]:
        name = owner["metadata"]["name"]
        yield Pod(where=f"{where}/{name}", owner=owner, metadata=node.get("metadata", {}), spec=node["spec"])
    for value in node.values():
        yield from _pods(value, owner, where)


@cache
def build(folder: Path) -> Built:
    """Build a folder, or skip the test where kubectl is missing."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is missing, and with it kustomize")
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{folder}: {done.stderr}"
    assert "Warning" not in done.stderr, done.stderr
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Built(name=folder.name, documents=tuple(yaml.load_all(done.stdout, loader)))


@pytest.fixture(params=OVERLAYS)
def overlay(request) -> Built:
    """Each overlay."""
    return build(INFRA / "overlays" / request.param)


@pytest.fixture
def release() -> Built:
    """The release."""
    if not (INFRA / "release" / "pipeline.yaml").exists():
        pytest.skip("infra/release holds no compiled pipeline; write it with: aerie release")
    return build(INFRA / "release")


@pytest.fixture
def argocd() -> Built:
    """The objects that Argo CD works by."""
    return build(INFRA / "argocd")


@pytest.fixture
def cluster(overlay, release) -> Built:
    """All that a cluster gets: an overlay and the release."""
    return Built(name=overlay.name, documents=overlay.documents + release.documents)


@pytest.fixture
def build_folder():
    """Builds any folder."""
    return build
