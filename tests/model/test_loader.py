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
from data.schema import Sample, Turn, make_sample, samples_to_table
from data.shardwise import readable_by_row, shard_bytes, write_shard
from data.storage import Manifest, commit, read_manifest, read_samples, read_tables, write_samples
from model.inputs.encode import encode_sample
from model.inputs.loader import PackLoader
from model.inputs.pack_reader import LoadedPack, PackReader
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
    """Shards of 16 rows, each row stored by itself: zstd then leaves an image's bytes as they are."""
    tally = Tally("formatting")
    tally.take("shapes", len(samples))
    tally.keep("shapes", len(samples))
    parts = [samples_to_table(samples[start : start + 16]) for start in range(0, len(samples), 16)]
    shards = tuple(
        write_shard(folder, f"shard-{number:05d}.parquet", shard_bytes(part, 1), part.num_rows)
        for number, part in enumerate(parts)
    )
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


@pytest.fixture
def fresh(tmp_path) -> Path:
    """A run folder of 20 samples whose shards a test may damage."""
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(DOCUMENT, sort_keys=False))
    write_formatting(str(tmp_path / "formatting"), [shape(number) for number in range(20)])
    recipe, formatting, tokenizer = (str(tmp_path / name) for name in ("recipe.yaml", "formatting", "tokenizer"))
    train_tokenizer(recipe, "", formatting, tokenizer)
    pack_stage(recipe, "", "stage_1_5", formatting, tokenizer, str(tmp_path / "packing/stage_1_5"))
    return tmp_path


def test_missing_and_truncated_shards_are_named(fresh):
    shard = fresh / "formatting" / "shard-00001.parquet"
    loader = open_loader(fresh)
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(AerieError, match=r"shard-00001.parquet is truncated"):
        [loader.load(index) for index in range(len(loader))]
    shard.unlink()
    with pytest.raises(AerieError, match=r"shard-00001.parquet is missing"):
        open_loader(fresh)


def overwrite(run: Path, sample: Sample) -> None:
    """Ruin the pixels of a sample's image where its shard holds them on disk."""
    payload = sample.images[0].bytes
    for path in (run / "formatting").glob("*.parquet"):
        content = path.read_bytes()
        if payload in content:
            path.write_bytes(content.replace(payload, payload[:45] + b"ruin" + payload[49:]))
            return
    raise AssertionError("the shards don't hold the image as it is")


def test_an_image_that_no_longer_decodes_leaves_its_packs_and_nothing_else_changes(fresh):
    whole = [open_loader(fresh).pack(index) for index in range(len(open_loader(fresh)))]
    bad = next(sample for sample in read_samples(str(fresh / "formatting")) if sample.images)
    overwrite(fresh, bad)
    loader = open_loader(fresh)
    loaded = [loader.load(index) for index in range(len(loader))]
    events = [event for pack in loaded for event in pack.quarantined]
    assert [(event.sample_id, event.source, event.reason) for event in events] == [
        (bad.sample_id, "shapes", "corrupt_image")
    ] * 2  # in both epochs
    assert [loaded[event.pack].quarantined for event in events] == [(event,) for event in events]
    for before, pack in zip(whole, loaded, strict=True):
        assert pack.samples == len(before.sample_ids)
        kept = [name for name in before.sample_ids if name != bad.sample_id]
        assert list(pack.batch.sample_ids) == kept
        for name in kept:
            for left, right in zip(parts(before, name), parts(pack.batch, name), strict=True):
                assert np.array_equal(left, right)
    with pytest.raises(AerieError, match=f"pack {events[0].pack}: sample {bad.sample_id} of 'shapes': image 1.png"):
        loader.pack(events[0].pack)


def parts(batch, name):
    """What a pack holds of one sample: tokens, labels, positions, tiles."""
    number = batch.sample_ids.index(name)
    span = slice(*batch.cu_seqlens[number : number + 2])
    ends = np.cumsum([0, *batch.tiles_per_sample])
    tiles = batch.tiles[ends[number] : ends[number + 1]]
    return batch.input_ids[span], batch.labels[span], batch.positions[span], tiles


def test_a_sample_that_changed_after_packing_is_told_apart(fresh):
    folder, samples = str(fresh / "formatting"), list(read_samples(str(fresh / "formatting")))
    manifest = read_manifest(folder)
    changed = {1: "text", 2: "turns", 3: "size", 4: "other", 6: "marks"}
    for row, kind in changed.items():
        samples[row] = altered(samples[row], kind)
    shards = write_samples(folder, samples, rows_per_shard=16)
    sources = open_loader_sources(fresh, dataclasses.replace(manifest, shards=shards))
    events = {event.sample_id: event for pack in every_pack(fresh, sources) for event in pack.quarantined}
    found = {row: events.pop(shape(row).sample_id) for row in changed}
    assert not events
    assert {row: event.reason for row, event in found.items()} == {
        1: "sample_changed", 2: "sample_changed", 3: "image_changed", 4: "sample_changed", 6: "image_token_mismatch"
    }  # fmt: skip
    assert "tokens and" in found[1].detail
    assert "has 64x32 px, its row says 40x32" in found[3].detail


def altered(sample: Sample, kind: str) -> Sample:
    """A sample as a careless rewrite would leave it."""
    first, *rest = sample.conversations
    if kind == "text":
        return dataclasses.replace(sample, conversations=(Turn(role="user", content="<image>\nwhat, please?"), *rest))
    if kind == "turns":
        return dataclasses.replace(sample, conversations=(first, rest[0]))
    if kind == "marks":
        return dataclasses.replace(sample, conversations=(Turn(role="user", content="no picture"), *rest))
    if kind == "size":
        return dataclasses.replace(sample, images=(dataclasses.replace(sample.images[0], width=40),))
    return dataclasses.replace(sample, sample_id="0" * 32)


def test_damaged_pages_are_no_reason_to_stop(fresh):
    folder = fresh / "formatting"
    manifest, table = read_manifest(str(folder)), next(read_tables(str(folder), read_manifest(str(folder))))
    payload = readable_by_row(table, 1)  # a row a group, with checksums, as the formatting step writes photos
    victim = shape(3)
    place = payload.index(victim.images[0].bytes) + 20
    shard = write_shard(str(folder), manifest.shards[0].path, payload[:place] + b"?" + payload[place + 1 :], 16)
    sources = open_loader_sources(fresh, dataclasses.replace(manifest, shards=(shard, *manifest.shards[1:])))
    events = [event for pack in every_pack(fresh, sources) for event in pack.quarantined]
    assert {(event.sample_id, event.reason) for event in events} == {(victim.sample_id, "damaged_rows")}


def open_loader_sources(run: Path, formatting: Manifest):
    """As if these were the shards that the packs were planned for."""
    return dataclasses.replace(open_loader(run).sources, formatting=formatting)


def every_pack(run: Path, sources) -> list[LoadedPack]:
    loader = PackLoader(sources, open_loader(run)._starts, 1)
    return [loader.load(index) for index in range(len(loader))]


def test_a_sample_costs_the_bytes_of_its_row_group(fresh):
    """Packs of a few of many samples read a small part of the shards."""
    folder = fresh / "formatting"
    manifest = read_manifest(str(folder))
    samples = list(read_samples(str(folder)))
    payload = readable_by_row(samples_to_table(samples), 2000)
    shard = write_shard(str(folder), "shard-00000.parquet", payload, len(samples))
    sources = dataclasses.replace(
        open_loader_sources(fresh, dataclasses.replace(manifest, shards=(shard,))), row_cache_bytes=1
    )
    rows = PackReader(sources).rows
    rows.rows(0, 0, 1)
    before = rows.bytes_read
    rows.rows(0, 15, 16)
    assert 0 < rows.bytes_read - before < shard.bytes / 3
