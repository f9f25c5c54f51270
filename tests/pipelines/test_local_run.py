"""Run folders, step counting, and how KFP's local runner treats our components."""

import os
from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl
from rich.console import Console

from data.errors import AerieError
from data.files import read_bytes
from data.recipe import load_data_recipe
from pipelines.compiling import compile_pipelines
from pipelines.local_run import Run, StepFailedError, count_steps, execute, find_run, new_run
from pipelines.recipe_places import READ, WRITTEN, local_places

ROOT = Path(__file__).resolve().parents[2]
MINI = ROOT / "pipelines/recipes/mini.yaml"


def test_a_run_keeps_its_own_recipe(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_bytes(MINI.read_bytes())
    run = new_run(str(recipe), str(tmp_path / "artifacts"), "first")
    recipe.write_text("edited: meanwhile")
    assert Path(run.recipe_uri).read_bytes() == MINI.read_bytes()
    assert find_run("first", str(tmp_path / "artifacts")) == run
    assert find_run(str(tmp_path / "artifacts/first"), "elsewhere") == run
    assert find_run(f"{tmp_path}/artifacts/first/", "elsewhere") == run


def test_a_run_in_a_bucket_is_found_by_its_address_as_the_first_line_of_a_run_shows_it(s3_uri):
    run = new_run(str(MINI), f"{s3_uri}/runs", "first")
    assert run.folder == f"{s3_uri}/runs/first"
    assert find_run(run.folder, "elsewhere") == run


@pytest.mark.parametrize("name", ["registry", "recipes", "submissions"])
def test_a_folder_beside_the_runs_is_no_name(tmp_path, name):
    with pytest.raises(AerieError, match=f"run name '{name}' is a folder that all runs share"):
        new_run(str(MINI), str(tmp_path), name)


def test_a_name_is_used_once(tmp_path):
    new_run(str(MINI), str(tmp_path), "first")
    with pytest.raises(AerieError, match="--resume first"):
        new_run(str(MINI), str(tmp_path), "first")
    with pytest.raises(AerieError, match="may hold letters"):
        new_run(str(MINI), str(tmp_path), "a/b")
    with pytest.raises(AerieError, match="no run 'second'"):
        find_run("second", str(tmp_path))


def test_relative_paths_still_point_to_their_places(tmp_path):
    document = yaml.safe_load(MINI.read_text())
    document["data"]["cards"] = "my-cards"
    document["data"]["augmentation"]["endpoint"] = {"url": "http://h/v1", "model": "m", "cache_uri": "../paid"}
    document["model"] |= {"tokenizer": {"path": "words/tokenizer.json"}, "pretrained": {"language": "s3://b/qwen"}}
    document["model"]["pretrained"]["siglip"] = "towers/siglip"
    document["evaluation"] = {"benchmark_data": "../benchmarks"}
    document["data"]["embedding"] = {"image_encoder": "sscd:w/sscd.pt#sha256=ab", "text_encoder": "sentence:s3://b/w"}
    document["data"]["gate"] = {"pool": "../old/embedding", "benchmarks": ["quiz.parquet", "s3://b/quiz2.parquet"]}
    recipe = tmp_path / "recipes/recipe.yaml"
    recipe.parent.mkdir()
    recipe.write_text(yaml.safe_dump(document, sort_keys=False))
    with pytest.raises(AerieError, match="folder of benchmark data not found"):
        new_run(str(recipe), str(tmp_path / "artifacts"), "first")
    (tmp_path / "benchmarks").mkdir()
    run = new_run(str(recipe), str(tmp_path / "artifacts"), "first")
    assert run.recipe.data.cards == str(tmp_path / "recipes/my-cards")
    assert run.recipe.data.augmentation.endpoint.cache_uri == str(tmp_path / "paid")
    assert run.recipe.model.tokenizer.path == str(tmp_path / "recipes/words/tokenizer.json")
    assert run.recipe.model.pretrained.siglip == str(tmp_path / "recipes/towers/siglip")
    assert run.recipe.model.pretrained.language == "s3://b/qwen"
    assert run.recipe.data.embedding.image_encoder == f"sscd:{tmp_path}/recipes/w/sscd.pt#sha256=ab"
    assert run.recipe.data.embedding.text_encoder == "sentence:s3://b/w"
    assert run.recipe.data.gate.pool == str(tmp_path / "old/embedding")
    assert run.recipe.data.gate.benchmarks == (f"{tmp_path}/recipes/quiz.parquet", "s3://b/quiz2.parquet")
    read, written = local_places(yaml.safe_load(Path(run.recipe_uri).read_text()))
    names = ["recipes/my-cards", "recipes/w/sscd.pt", "old/embedding", "recipes/quiz.parquet"]
    names += ["recipes/words/tokenizer.json", "recipes/towers/siglip", "benchmarks"]
    assert read == [f"{tmp_path}/{name}" for name in names]
    assert written == [str(tmp_path / "paid")]
    assert run.recipe.evaluation.benchmark_data == str(tmp_path / "benchmarks")


def test_a_missing_key_of_an_endpoint_is_told_before_anything_runs(tmp_path, monkeypatch):
    endpoint = {"url": "http://h/v1", "model": "m", "cache_uri": "paid"}
    document = yaml.safe_load(MINI.read_text())
    document["data"]["augmentation"] |= {"endpoint": endpoint | {"api_key_env": "UNUSED_KEY"}}  # nothing to ask it
    document["evaluation"] = {"local_benchmarks": True, "judge": endpoint | {"api_key_env": "JUDGES_KEY"}}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(document, sort_keys=False))
    monkeypatch.delenv("JUDGES_KEY", raising=False)
    message = "evaluation.judge of the recipe wants a key in the environment variable JUDGES_KEY"
    with pytest.raises(AerieError, match=message):
        new_run(str(recipe), str(tmp_path / "artifacts"), "first")
    assert not (tmp_path / "artifacts").exists()
    monkeypatch.setenv("JUDGES_KEY", "k")
    assert new_run(str(recipe), str(tmp_path / "artifacts"), "first").recipe.evaluation.judge


@pytest.mark.parametrize("name", [name for name in (*READ, *WRITTEN) if name.startswith("data.")])
def test_the_data_room_counts_each_of_these_paths_from_the_recipe(tmp_path, name):
    document = yaml.safe_load(MINI.read_text())
    kind = {"image_encoder": "sscd:", "text_encoder": "sentence:"}.get(name.rpartition(".")[2], "")
    *sections, key = name.split(".")
    holder = document
    for section in sections:
        new = {"url": "http://h/v1", "model": "m"} if section == "endpoint" else {}
        holder = holder.setdefault(section, new)
    holder |= {"pool": "/pool"} if key == "pool_rows" else {}
    holder[key] = ["a/b"] if key == "benchmarks" else f"{kind}a/b"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(document))
    found = load_data_recipe(str(recipe))
    for part in name.split("."):
        found = getattr(found, part)
    assert found == ((f"{tmp_path}/a/b",) if key == "benchmarks" else f"{kind}{tmp_path}/a/b")


def test_a_recipe_without_paths_is_copied_as_it_is(tmp_path):
    run = new_run(str(MINI), str(tmp_path), "first")
    assert Path(run.recipe_uri).read_bytes() == MINI.read_bytes()


def test_steps_are_counted_with_the_fan_out(tmp_path):
    package = compile_pipelines(tmp_path)[-1]
    # 8 curation tasks and one sourcing task a source; tokenizer, 3 x (packing, stage, evaluation), the judge, the gate,
    # report, the gate's verdict
    assert count_steps(package, {"sources": ["a", "b"]}) == 2 + 8 + 1 + 9 + 4


@dsl.component(base_image="python", install_kfp_package=False)
def shout(storage_uri: str, run_id: str, word: str) -> str:
    from components.door import open_door
    from data.errors import AerieError

    with open_door(f"shout/{word}", storage_uri, run_id):
        if word == "user-mistake":
            raise AerieError(f"{word}: row 3 is empty\nfill it")
        if word == "bug":
            raise ZeroDivisionError("division by nothing")
        print(f"shout {word.upper()}")
        return word.upper()


@dsl.component(base_image="python", install_kfp_package=False)
def join(storage_uri: str, run_id: str, words: list[str]) -> str:
    from pathlib import Path

    from components.door import open_door

    with open_door("join", storage_uri, run_id):
        Path(storage_uri, run_id, "joined.txt").write_text(" ".join(words))
        return " ".join(words)


@dsl.pipeline(name="inner")
def inner(storage_uri: str, run_id: str, sources: list[str]) -> str:
    with dsl.ParallelFor(sources) as word:
        shouted = shout(storage_uri=storage_uri, run_id=run_id, word=word)
    return join(storage_uri=storage_uri, run_id=run_id, words=dsl.Collected(shouted.output)).output


@dsl.pipeline(name="outer")
def outer(
    recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, sources: list[str], training_runtime: str
) -> str:
    nested = inner(storage_uri=storage_uri, run_id=run_id, sources=sources)
    return shout(storage_uri=storage_uri, run_id=run_id, word=nested.output).output


def small_run(tmp_path, words, storage=None):
    prepared = new_run(str(MINI), storage or str(tmp_path), "run")
    uses = tuple(prepared.recipe.data.sources[0].model_copy(update={"name": word}) for word in words)
    data = prepared.recipe.data.model_copy(update={"sources": uses})
    recipe = prepared.recipe.model_copy(update={"data": data})
    package = tmp_path / "outer.yaml"
    compiler.Compiler().compile(outer, str(package))
    return Run(storage_uri=prepared.storage_uri, run_id="run", recipe=recipe), package


def test_loops_and_nested_pipelines_pass_strings_in_order(tmp_path):
    run, package = small_run(tmp_path, ["one", "two"])
    results = execute(run, package, Console(quiet=True))
    assert (tmp_path / "run/joined.txt").read_text() == "ONE TWO"
    assert sorted(result.step for result in results) == ["join", "shout/ONE TWO", "shout/one", "shout/two"]


def test_a_users_mistake_in_a_step_comes_back_as_its_message(tmp_path):
    run, package = small_run(tmp_path, ["user-mistake"])
    with pytest.raises(AerieError, match=r"^shout/user-mistake: user-mistake: row 3 is empty\nfill it$"):
        execute(run, package, Console(quiet=True))
    assert not (tmp_path / "run/joined.txt").exists()


def test_a_bug_in_a_step_shows_its_last_lines_and_the_log(tmp_path):
    run, package = small_run(tmp_path, ["bug"])
    with pytest.raises(StepFailedError, match=r"step shout/bug broke(?s:.*)division by nothing(?s:.*)/run/logs/"):
        execute(run, package, Console(quiet=True))


def test_a_store_gets_the_log_too(tmp_path, s3_uri):
    run, package = small_run(tmp_path, ["bug"], s3_uri)
    with pytest.raises(StepFailedError, match=r"The full log is s3://.*/run/logs/.*\.log$") as caught:
        execute(run, package, Console(quiet=True))
    log = read_bytes(str(caught.value).rpartition(" ")[2]).decode()
    assert "division by nothing" in log
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in log


@dsl.component(base_image="python", install_kfp_package=False)
def stumble(storage_uri: str, run_id: str, word: str) -> str:
    from pathlib import Path

    from components.door import open_door
    from data.errors import AerieError

    with open_door("stumble", storage_uri, run_id), Path(storage_uri, run_id, "tries.txt").open("a") as tries:
        tries.write("x")
        raise AerieError("row 3 is empty")


@dsl.pipeline(name="retried")
def retried(
    recipe_uri: str, recipe_sha256: str, storage_uri: str, run_id: str, sources: list[str], training_runtime: str
):
    stumble(storage_uri=storage_uri, run_id=run_id, word=recipe_sha256).set_retry(2, backoff_duration="0s")


def test_a_failed_step_is_not_repeated_on_a_laptop(tmp_path):
    run, package = small_run(tmp_path, ["one"])
    compiler.Compiler().compile(retried, str(package))
    assert "retryPolicy" in package.read_text()
    with pytest.raises(AerieError, match="row 3 is empty"):
        execute(run, package, Console(quiet=True))
    assert (tmp_path / "run/tries.txt").read_text() == "x"
