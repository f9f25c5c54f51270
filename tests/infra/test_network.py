"""The network policies, evaluated as Kubernetes does: what a pod may reach is the union of all that select it."""

import re
import shutil
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from components.trainjob_manifest import NODE
from pipelines import placement

INFRA = Path(__file__).resolve().parents[2] / "infra"
KFP_TASK = {"workflows.argoproj.io/workflow": "end-to-end-x7k2p"}
CALLING = {service.name: {**KFP_TASK, placement.CALLS_LABEL: service.name} for service in placement.SERVICES}
FOREIGN = {"app": "somebody-else"}
COMPONENT = "app.kubernetes.io/component"


def matches(selector, labels):
    """A label selector's verdict; an empty one selects everything."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions", []):
        value = labels.get(expression["key"])
        if expression["operator"] == "Exists" and value is None:
            return False
        if expression["operator"] == "In" and value not in expression["values"]:
            return False
        assert expression["operator"] in {"Exists", "In"}
    return True


def ways(policies, labels, direction):
    """{(peer, port)} of a pod's allowed traffic; a peer is NAMESPACE:LABEL=VALUE or a CIDR, port * means any."""
    found = set()
    for policy in policies:
        spec = policy["spec"]
        if direction.capitalize() not in spec["policyTypes"] or not matches(spec["podSelector"], labels):
            continue
        for rule in spec.get(direction, []):
            ports = [port["port"] for port in rule.get("ports", [{"port": "*"}])]
            for peer in rule["to" if direction == "egress" else "from"]:
                found |= {(name, port) for name in _names(peer) for port in ports}
    return found


def _names(peer):
    if "ipBlock" in peer:
        return [peer["ipBlock"]["cidr"]]
    namespaces = [label.partition("=")[2] for label in _labels(peer.get("namespaceSelector", {}))]
    labels = _labels(peer.get("podSelector", {}))
    return [f"{where}:{label}" for where in namespaces or [""] for label in labels or ["*"]]


def _labels(selector):
    """KEY=VALUE of all that a selector wants; where it wants several at once, each is named."""
    labels = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    for expression in selector.get("matchExpressions", []):
        labels += [f"{expression['key']}={value}" for value in expression.get("values", ["*"])]
    return labels


@pytest.fixture
def policies(overlay):
    return overlay.of("NetworkPolicy")


@pytest.fixture
def reach(policies):
    """What pods with some labels may reach, DNS left out."""

    def of(labels):
        return {(peer, port) for peer, port in ways(policies, labels, "egress") if port != 53}

    return of


def test_everything_is_denied_first(policies):
    (deny,) = [policy for policy in policies if policy["metadata"]["name"] == "default-deny"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_a_pod_that_nobody_foresaw_resolves_names_and_nothing_else(policies, reach):
    assert reach(FOREIGN) == set()
    assert ways(policies, FOREIGN, "ingress") == set()
    assert ways(policies, FOREIGN, "egress")


def test_every_kind_of_our_pods_reaches_what_it_needs(overlay, reach):
    storage = storage_of(overlay)
    api = {(peer, port) for peer in [api_of(overlay)] for port in (443, 6443)}
    kfp = {("kubeflow:app=ml-pipeline", 8888)}
    manager = (f"{COMPONENT}=manager", "app.kubernetes.io/part-of=kubeflow")
    trainer = {(f"{where}:{label}", 10443) for where in ("kubeflow", "kubeflow-system") for label in manager}
    assert reach({COMPONENT: "training"}) == storage | trainer | {(f":{COMPONENT}=training", "*")}
    assert reach({COMPONENT: "storage"}) == storage
    assert reach({COMPONENT: "retraining"}) == storage | kfp
    assert reach({COMPONENT: "reaper"}) == api | kfp
    grpc = {("kubeflow:app=ml-pipeline", 8887), ("kubeflow:component=metadata-grpc-server", 8080)}
    assert reach(KFP_TASK) == storage | api | kfp | grpc
    assert reach(CALLING["endpoint"]) == reach(KFP_TASK), "until an overlay says where it is"
    registry = {("kubeflow:component=model-registry-server", 8080)}
    assert reach(CALLING["model-registry"]) == reach(KFP_TASK) | registry


def test_ranks_reach_each_other_on_every_port_and_nobody_else_does(policies):
    assert ways(policies, {COMPONENT: "training"}, "ingress") == {(f":{COMPONENT}=training", "*")}


def test_the_trainers_own_policy_knows_our_pods(overlay):
    """Newer Trainers let only pods with this label to their status server."""
    (pod,) = [pod for pod in overlay.pods() if pod.labels.get(COMPONENT) == "training"]
    assert pod.labels["trainer.kubeflow.org/trainjob-ancestor-step"] == "trainer"
    assert [container["name"] for container in pod.containers] == [NODE]


@pytest.fixture
def editable(overlay, tmp_path):
    """The overlay's folder in a copy of infra/."""
    shutil.copytree(INFRA, tmp_path / "infra")
    return tmp_path / "infra" / "overlays" / overlay.name


def examples():
    """The documents of the README's examples: overlay and values for a place outside, a policy for one inside."""
    section = (INFRA / "README.md").read_text().partition("## Services that steps ask")[2].partition("\n## ")[0]
    outside, inside = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", section, re.S))
    return outside, inside


def add_component(folder, name):
    path = folder / "kustomization.yaml"
    path.write_text(path.read_text().replace("  - ../../namespace\n", f"  - {name}\n  - ../../namespace\n"))


def outside_endpoint(folder):
    example, _ = examples()
    add_component(folder, *example["components"])
    values = yaml.safe_load((folder / "values.yaml").read_text())
    (folder / "values.yaml").write_text(yaml.safe_dump({**values, "data": values["data"] | example["data"]}))


def inside_endpoint(folder):
    _, example = examples()
    (folder / "model.yaml").write_text(yaml.safe_dump(example))
    path = folder / "kustomization.yaml"
    path.write_text(path.read_text().replace("  - values.yaml\n", "  - values.yaml\n  - model.yaml\n"))


@pytest.mark.parametrize(
    ("edit", "way"),
    [(outside_endpoint, ("203.0.113.0/24", 443)), (inside_endpoint, ("models:app=vllm", 8000))],
    ids=["outside", "inside"],
)
def test_the_readmes_ways_to_a_language_model_are_for_augmentation_only(overlay, editable, build_folder, edit, way):
    edit(editable)
    policies = build_folder(editable).of("NetworkPolicy")
    names = ("training", "storage", "retraining", "reaper")
    for labels in (FOREIGN, KFP_TASK, CALLING["model-registry"], *({COMPONENT: name} for name in names)):
        assert ways(policies, labels, "egress") == ways(overlay.of("NetworkPolicy"), labels, "egress")
    before = ways(overlay.of("NetworkPolicy"), CALLING["endpoint"], "egress")
    assert ways(policies, CALLING["endpoint"], "egress") == before | {way}
    (policy,) = [item for item in policies if item["metadata"]["name"] == "pipeline-to-endpoint"]
    kubernetes_validate.validate(policy, "1.34", strict=True)
    assert policy["metadata"]["namespace"] == "aerie"


def test_weights_and_biases_is_reached_by_training_only_and_only_when_wanted(overlay, build_folder, editable):
    add_component(editable, "../../wandb")
    wanted = build_folder(editable)
    for labels in (FOREIGN, KFP_TASK, *({COMPONENT: name} for name in ("storage", "retraining", "reaper"))):
        same = [ways(built.of("NetworkPolicy"), labels, "egress") for built in (overlay, wanted)]
        assert same[0] == same[1]
    training = [ways(built.of("NetworkPolicy"), {COMPONENT: "training"}, "egress") for built in (overlay, wanted)]
    assert training[1] == training[0] | {("0.0.0.0/0", 443)}
    for built, mode in ((overlay, None), (wanted, "online")):
        (pod,) = [pod for pod in built.pods() if pod.labels.get(COMPONENT) == "training"]
        values = {item["name"]: item.get("value") for item in pod.containers[0]["env"]}
        assert values.get("WANDB_MODE") == mode


def test_who_stores_something_is_let_in_by_the_store(overlay, policies):
    if not overlay.of("StatefulSet"):
        pytest.skip("the object store is outside")
    let_in = {peer for peer, _ in ways(policies, {COMPONENT: "minio"}, "ingress")}
    asking = {f":{COMPONENT}={component}" for component in ("training", "storage", "retraining")}
    assert let_in >= asking | {":workflows.argoproj.io/workflow=*"}


def test_every_selector_means_a_pod_that_exists(cluster):
    """A policy for a label that no pod has looks like protection, and is none."""
    known = [*(pod.labels for pod in cluster.pods()), KFP_TASK, *CALLING.values()]
    for policy in cluster.of("NetworkPolicy"):
        spec = policy["spec"]
        rules = [*spec.get("ingress", []), *spec.get("egress", [])]
        peers = [peer for rule in rules for peer in [*rule.get("from", []), *rule.get("to", [])]]
        ours = [peer["podSelector"] for peer in peers if "namespaceSelector" not in peer and "podSelector" in peer]
        for selector in [spec["podSelector"], *ours]:
            assert any(matches(selector, labels) for labels in known), (policy["metadata"]["name"], selector)
            for expression in selector.get("matchExpressions", []):
                for value in expression.get("values", []):
                    one = {"matchLabels": {expression["key"]: value}}
                    assert any(matches(one, labels) for labels in known), (policy["metadata"]["name"], value)


def storage_of(overlay):
    """(peer, port) of the object store."""
    if overlay.of("StatefulSet"):
        return {(f":{COMPONENT}=minio", 9000)}
    (rule,) = overlay.one("NetworkPolicy", "jobs-to-storage")["spec"]["egress"]
    endpoint = overlay.one("ConfigMap", "aerie-storage")["data"]["AWS_ENDPOINT_URL"]
    port = int(endpoint.rpartition(":")[2]) if endpoint.count(":") == 2 else 443
    return {(rule["to"][0]["ipBlock"]["cidr"], port)}


def api_of(overlay):
    """The addresses of the Kubernetes API."""
    (rule,) = overlay.one("NetworkPolicy", "reaper-to-kubernetes")["spec"]["egress"]
    return rule["to"][0]["ipBlock"]["cidr"]
