import pytest
import yaml

from pipelines import placement
from pipelines.compiling import compile_pipelines


@pytest.fixture(scope="module")
def executors(tmp_path_factory):
    """Executor containers and Kubernetes settings of the whole pipeline, by name."""
    folder = tmp_path_factory.mktemp("compiled")
    (whole,) = [path for path in compile_pipelines(folder) if path.stem == "end_to_end"]
    spec, platform = yaml.safe_load_all(whole.read_text())
    containers = spec["deploymentSpec"]["executors"]
    return containers, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def test_gpus_go_to_training_and_evaluation_only(executors):
    containers, settings = executors
    with_gpu = {n for n, e in containers.items() if "accelerator" in e["container"].get("resources", {})}
    assert {name.removeprefix("exec-").split("-")[0] for name in with_gpu} == {"stage", "evaluation"}
    assert {name for name, entry in settings.items() if "tolerations" in entry} == with_gpu


def test_every_task_waits_in_the_queue(executors):
    containers, settings = executors
    assert set(settings) == set(containers)
    for entry in settings.values():
        assert entry["podMetadata"]["labels"][placement.QUEUE_LABEL] == placement.QUEUE
