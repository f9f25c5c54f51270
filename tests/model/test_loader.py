"""Packs from real shards: complete, repeatable, in bounded memory, and honest about changed inputs."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from data.errors import AerieError
from data.images import encode_png, image_ref
from data.ledger import Tally
from data.schema import Sample, Turn, make_sample
from data.storage import Manifest, commit, read_manifest, read_samples, read_tables, write_samples
from model.inputs.encode import encode_sample
from model.inputs.loader import PackLoader
from model.inputs.tokens import ChatTokenizer
from model.recipe import load_recipe
from model.steps import pack_stage, train_tokenizer

DOCUMENT = {
    "name": "loader",
    "seed": 7,
    "data": {"sources": [{"name": "shapes"}]},
    "model": {
        "tiling": {"tile_size": 32, "max_tiles": 2},
        "siglip": {"patch_size": 8},
        "tokenizer": {"vocab_size": 320},
    },
    "stages": {
        "stage_1": {"learning_rate": 1e-3, "capacity": 512},
        "stage_1_5": {"learning_rate": 1e-3, "capacity": 512, "epochs": 2, "turns_per_sample": 2},
        "stage_2": {"learning_rate": 1e-3, "capacity": 512},
    },
}


def shape(number: int) -> Sample:
    image = Image.new("RGB", (32 + 32 * (number % 2), 32), (number, 20, 30))
    ImageDraw.Draw(image).rectangle((4, 4, 10 + number % 9, 12), fill="white")
    turns = [Turn(role="user", content="<image>\nwhat is it?"), Turn(role="assistant", content=f"shape {number}")]
    for question in range(number % 4):
        turns += [Turn(role="user", content=f"is it {question}?"), Turn(role="assistant", content="no")]
    if number % 5 == 0:
        turns[0], image_refs = Turn(role="user", content="no picture here?"), ()
    else:
        image_refs = (image_ref(encode_png(image), f"{number}.png"),)
    meta = {"stages": ["stage_1", "stage_1_5"]}
    return make_sample(
        source="shapes", category="general_vqa", images=image_refs, conversations=tuple(turns), meta=meta
    )


def write_formatting(folder: str, samples: list[Sample]) -> None:
    tally = Tally("formatting")
    tally.take("shapes", len(samples))
    tally.keep("shapes", len(samples))
    shards = write_samples(folder, samples, rows_per_shard=16)
    commit(
        folder,
        Manifest(
            step="formatting", fingerprint="f", recipe_sha256="", rows=len(samples), shards=shards,
            counts=tally.counts(),
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run folder up to packing."""
    run = tmp_path_factory.mktemp("run")
    (run / "recipe.yaml").write_text(yaml.safe_dump(DOCUMENT, sort_keys=False))
    write_formatting(str(run / "formatting"), [shape(number) for number in range(60)])
    recipe, formatting, tokenizer = (str(run / name) for name in ("recipe.yaml", "formatting", "tokenizer"))
    train_tokenizer(recipe, "", formatting, tokenizer)
    for stage in ("stage_1", "stage_1_5"):
        pack_stage(recipe, "", stage, formatting, tokenizer, str(run / "packing" / stage))
    return run


def open_loader(run: Path, stage: str = "stage_1_5") -> PackLoader:
    folders = [str(run / name) for name in (f"packing/{stage}", "formatting", "tokenizer")]
    return PackLoader.open(load_recipe(str(run / "recipe.yaml")), stage, *folders)


def equal(left, right) -> bool:
    return all(
        np.array_equal(getattr(left, field.name), getattr(right, field.name)) for field in dataclasses.fields(left)
    )


def test_packs_hold_exactly_what_the_table_says(run):
    loader, recipe = open_loader(run), load_recipe(str(run / "recipe.yaml"))
    folder = str(run / "packing/stage_1_5")
    rows = [row for table in read_tables(folder, read_manifest(folder)) for row in table.to_pylist()]
    samples = {sample.sample_id: sample for sample in read_samples(str(run / "formatting"))}
    tokenizer = ChatTokenizer.load(str(run / "tokenizer"))
    assert len(loader) == 1 + max(row["pack"] for row in rows)
    for index in range(len(loader)):
        pack, here = loader.pack(index), [row for row in rows if row["pack"] == index]
        assert list(pack.sample_ids) == [row["sample_id"] for row in here]
        assert np.diff(pack.cu_seqlens).tolist() == [row["tokens"] for row in here]
        assert pack.tiles_per_sample.tolist() == [row["tiles"] for row in here]
        assert len(pack.input_ids) <= 512
        direct = [encode_sample(samples[row["sample_id"]], tokenizer, recipe.model, row["turns"]) for row in here]
        assert np.array_equal(pack.input_ids, np.concatenate([sample.input_ids for sample in direct]))
        assert np.array_equal(pack.labels, np.concatenate([sample.labels for sample in direct]))
        assert np.array_equal(pack.tiles, np.concatenate([sample.tiles for sample in direct]))
    shown = [row["sample_id"] for row in rows]
    assert sorted(shown) == sorted(2 * list(samples))  # two epochs, every sample once in each


def test_any_order_and_any_cache_give_the_same_packs(run):
    loader, other = open_loader(run), open_loader(run)
    tight = dataclasses.replace(other.sources, sample_cache_bytes=1, row_cache_bytes=1)
    other = PackLoader(tight, other._starts, other.largest_bytes)
    for index in reversed(range(len(loader))):
        assert equal(loader.pack(index), other.pack(index))
        assert equal(loader.pack(index), loader.pack(index))


def test_a_cached_pack_is_quick(run):
    loader = open_loader(run)
    uses = sum(len(loader.pack(index).sample_ids) for index in range(len(loader)))
    start = time.process_time()
    for index in range(len(loader)):
        loader.pack(index)
    assert (time.process_time() - start) / uses < 1e-3


def test_numbers_outside_are_refused(run):
    loader = open_loader(run)
    for index in (-1, len(loader)):
        with pytest.raises(IndexError):
            loader.pack(index)


def test_another_stage_is_refused(run):
    folders = [str(run / name) for name in ("packing/stage_1", "formatting", "tokenizer")]
    with pytest.raises(AerieError, match="packs of 'packing/stage_1', not of 'stage_2'"):
        PackLoader.open(load_recipe(str(run / "recipe.yaml")), "stage_2", *folders)


def test_changed_inputs_are_refused(run, tmp_path):
    write_formatting(str(tmp_path / "other"), [shape(number) for number in range(5)])
    folders = [str(run / "packing/stage_1"), str(tmp_path / "other"), str(run / "tokenizer")]
    with pytest.raises(AerieError, match="formatting changed after"):
        PackLoader.open(load_recipe(str(run / "recipe.yaml")), "stage_1", *folders)


def test_another_geometry_is_noticed(run):
    recipe = load_recipe(str(run / "recipe.yaml"))
    changed = recipe.model_copy(update={"model": recipe.model.model_copy(update={"system_prompt": "Be brief."})})
    folders = [str(run / name) for name in ("packing/stage_1", "formatting", "tokenizer")]
    with pytest.raises(AerieError, match=r"planned for another recipe .*run step 'packing/stage_1' again"):
        PackLoader.open(changed, "stage_1", *folders)


def test_missing_and_truncated_shards_are_named(tmp_path):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(DOCUMENT, sort_keys=False))
    write_formatting(str(tmp_path / "formatting"), [shape(number) for number in range(20)])
    recipe, formatting, tokenizer = (str(tmp_path / name) for name in ("recipe.yaml", "formatting", "tokenizer"))
    train_tokenizer(recipe, "", formatting, tokenizer)
    pack_stage(recipe, "", "stage_1", formatting, tokenizer, str(tmp_path / "packing/stage_1"))
    shard = tmp_path / "formatting" / "shard-00001.parquet"
    loader = open_loader(tmp_path, "stage_1")
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(AerieError, match=r"shard-00001.parquet is truncated"):
        [loader.pack(index) for index in range(len(loader))]
    shard.unlink()
    with pytest.raises(AerieError, match=r"shard-00001.parquet is missing"):
        open_loader(tmp_path, "stage_1")
