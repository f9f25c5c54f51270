"""Every folder builds, and what it builds is what the API servers know."""

import runpy
import shutil
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = "1.34"
SHARED = ROOT.parent / "shared"
OURS = ("kueue.x-k8s.io", "trainer.kubeflow.org", "pipelines.kubeflow.org", "argoproj.io", "monitoring.coreos.com")
CLUSTER_SCOPED = {"Namespace", "ClusterQueue", "ResourceFlavor", "Topology", "WorkloadPriorityClass"}
CLUSTER_SCOPED |= {"ClusterTrainingRuntime"}


@pytest.fixture
def all_built(cluster, argocd):
    return [*cluster.documents, *argocd.documents]


def test_built_in_kinds_are_valid(all_built):
    """Strictly, so that a misspelt field is an error; custom kinds are known by their group."""
    checked = 0
    for document in all_built:
        if document["apiVersion"].split("/")[0] in OURS:
            continue
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        checked += 1
    assert checked > 20


def test_custom_kinds_are_valid(all_built, tmp_path, monkeypatch, capsys):
    path = SHARED / "tools" / "check_custom_resources.py"
    if not path.exists():
        pytest.skip("the CRD schemas are not beside this repository")
    monkeypatch.setattr(yaml, "SafeLoader", getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # the schemas are large
    built = tmp_path / "built.yaml"
    built.write_text(yaml.safe_dump_all(all_built))
    assert runpy.run_path(str(path))["main"]([str(built)]) == 0, capsys.readouterr().out
    assert capsys.readouterr().out.count(" OK\n") >= 12


def test_every_value_has_found_its_place(all_built):
    assert "by values" not in yaml.safe_dump_all(all_built)
    assert "192.0.2." not in yaml.safe_dump_all(all_built), "an example address is left"


@pytest.mark.parametrize("folder", ["overlays/local", "overlays/gke-h100", "overlays/onprem-h100", "argocd"])
def test_no_value_is_idle(build_folder, folder, tmp_path):
    """Every key of a values.yaml changes the result, so that nobody edits what nothing reads."""
    infra = tmp_path / "infra"
    shutil.copytree(ROOT / "infra", infra)
    path = infra / folder / "values.yaml"
    values = yaml.safe_load(path.read_text())
    planted = {key: str(98_700_000 + number) for number, key in enumerate(values["data"])}
    path.write_text(yaml.safe_dump(values | {"data": planted}))
    text = yaml.safe_dump_all(build_folder(infra / folder).documents)
    assert [key for key, number in planted.items() if number not in text] == []


def test_only_cluster_scoped_objects_have_no_namespace(cluster):
    for document in cluster.documents:
        scoped = "namespace" in document["metadata"]
        assert scoped != (document["kind"] in CLUSTER_SCOPED), (document["kind"], document["metadata"])


def test_another_namespace_is_one_edit_away(build_folder, tmp_path):
    infra = tmp_path / "infra"
    shutil.copytree(ROOT / "infra", infra)
    path = infra / "namespace" / "namespace.yaml"
    path.write_text(path.read_text().replace("namespace: aerie", "namespace: elsewhere"))
    built = build_folder(infra / "overlays" / "gke-h100")
    assert built.of("Namespace")[0]["metadata"]["name"] == "elsewhere"
    assert {item["metadata"].get("namespace") for item in built.of("Job", "NetworkPolicy")} == {"elsewhere"}
    subjects = [subject for binding in built.of("RoleBinding") for subject in binding["subjects"]]
    assert {subject["namespace"] for subject in subjects} == {"elsewhere"}


def test_no_two_objects_share_a_name(cluster):
    names = [(document["kind"], document["metadata"]["name"]) for document in cluster.documents]
    assert len(set(names)) == len(names)


def test_everything_says_whose_it_is(all_built):
    for document in all_built:
        assert document["metadata"]["labels"]["app.kubernetes.io/part-of"] == "aerie"


def test_no_secret_is_in_git(all_built):
    assert [document["metadata"]["name"] for document in all_built if "Secret" in document["kind"]] == []
