"""The tokenizer and packing steps on real shards: what they write, count, drop, repeat and refuse."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from PIL import Image

from data.errors import AerieError
from data.images import encode_png, image_ref
from data.ledger import Tally
from data.schema import ImageRef, Sample, Turn, make_sample
from data.storage import Manifest, attach, commit, read_attachment, read_samples, read_tables, write_samples
from model.inputs.encode import token_count
from model.inputs.tokens import ChatTokenizer, train_bpe
from model.inputs.uses import PACK_SCHEMA
from model.recipe import load_recipe
from model.steps import pack_stage, train_tokenizer

STAGE = {"learning_rate": 1e-3, "capacity": 256}


def picture(width: int = 32) -> ImageRef:
    return image_ref(encode_png(Image.new("RGB", (width, 32), "red")), "red.png")


def talk(*texts: str, source: str = "talks", images=(), stages=("stage_1", "stage_1_5", "stage_2")) -> Sample:
    turns = tuple(Turn(role=("user", "assistant")[i % 2], content=text) for i, text in enumerate(texts))
    return make_sample(
        source=source, category="general_vqa", images=tuple(images), conversations=turns, meta={"stages": list(stages)}
    )


GOOD = [talk("<image>\nquestion one?", f"answer {i}", "question two?", "no", images=[picture()]) for i in range(9)]
BAD = [
    talk("<image>\nwhere?", "nowhere", source="mixed"),
    talk("no place?", "none", source="mixed", images=[picture()]),
    talk("long " * 400, "yes", source="mixed"),
    talk("only in the first stage", "yes", source="mixed", stages=["stage_1"]),
    talk("twice", "yes", "dangling", source="mixed"),
    talk("<image>", "wide", source="mixed", images=[picture(64)]),  # three tiles
    talk("<image>", "lies", source="mixed", images=[replace(picture(), width=64)]),  # one tile in the file
]


class RunDir:
    """The inputs of the two steps in one folder."""

    def __init__(self, folder: Path, samples: list[Sample], **stage_2) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.recipe, self.formatting = str(folder / "recipe.yaml"), str(folder / "formatting")
        self.tokenizer, self.packing = str(folder / "tokenizer"), str(folder / "packing/stage_2")
        self.write_recipe(**stage_2)
        tally = Tally("formatting")
        for sample in samples:
            tally.take(sample.source)
            tally.keep(sample.source)
        heldout = attach(self.formatting, "heldout.parquet", b"zyzzyva zyzzyva zyzzyva")
        commit(
            self.formatting,
            Manifest(
                step="formatting",
                fingerprint="f",
                recipe_sha256="",
                rows=len(samples),
                shards=write_samples(self.formatting, samples, rows_per_shard=4),
                counts=tally.counts(),
                attachments={"heldout": heldout},
            ),
        )

    def write_recipe(self, tokenizer=None, **stage_2) -> None:
        model = {"tiling": {"tile_size": 32, "max_tiles": 2}, "siglip": {"patch_size": 8}}
        document = {
            "name": "steps",
            "seed": 7,
            "data": {"sources": [{"name": "talks"}, {"name": "mixed"}]},
            "model": {**model, "tokenizer": tokenizer or {"vocab_size": 320}},
            "stages": {"stage_1": STAGE, "stage_1_5": STAGE, "stage_2": {**STAGE, **stage_2}},
        }
        Path(self.recipe).write_text(yaml.safe_dump(document, sort_keys=False))

    def train(self) -> Manifest:
        return train_tokenizer(self.recipe, "", self.formatting, self.tokenizer)

    def pack(self, stage: str = "stage_2") -> Manifest:
        return pack_stage(self.recipe, "", stage, self.formatting, self.tokenizer, self.packing)

    def rows(self, manifest: Manifest) -> list[dict]:
        return [row for table in read_tables(self.packing, manifest) for row in table.to_pylist()]

    def report(self, manifest: Manifest) -> dict:
        return json.loads(read_attachment(self.packing, manifest, "report"))


def test_the_tokenizer_learns_the_training_text(tmp_path):
    run = RunDir(tmp_path, GOOD)
    manifest = run.train()
    tokenizer = ChatTokenizer.load(run.tokenizer)
    assert len(tokenizer.encode("question")) == 1
    assert len(tokenizer.encode("assistant\n")) == 2
    assert len(tokenizer.encode("zyzzyva")) == 7  # held-out text taught it nothing
    assert manifest.lineage.keys() == {"formatting"}
    assert [(count.source, count.rows_in, count.rows_out) for count in manifest.counts] == [("talks", 9, 9)]
    report = json.loads(read_attachment(run.tokenizer, manifest, "report"))
    assert report["vocab_size"] == tokenizer.vocab_size <= 320
    assert report["characters_per_token"] > 2


def test_steps_repeat_to_the_byte_and_do_nothing_when_done(tmp_path):
    first, second = RunDir(tmp_path / "a", GOOD), RunDir(tmp_path / "b", GOOD)
    for run in (first, second):
        run.train()
        run.pack()
    assert first.train().to_json() == second.train().to_json()
    assert first.pack().to_json() == second.pack().to_json()
    times = [path.stat().st_mtime_ns for path in sorted(first.folder.rglob("*")) if path.is_file()]
    first.train()
    first.pack()
    assert times == [path.stat().st_mtime_ns for path in sorted(first.folder.rglob("*")) if path.is_file()]


def test_only_what_matters_makes_a_step_run_again(tmp_path):
    run = RunDir(tmp_path, GOOD)
    run.train()
    before = run.pack().fingerprint
    run.write_recipe(learning_rate=5e-4, packs_per_step=4)
    assert run.pack().fingerprint == before
    run.write_recipe(capacity=128)
    assert run.pack().fingerprint != before


def test_a_published_tokenizer_is_taken_as_it_is(tmp_path):
    run = RunDir(tmp_path, GOOD)
    (tmp_path / "published").mkdir()
    published = train_bpe(["something else"] * 5, 300)
    published.save(str(tmp_path / "published" / "tokenizer.json"))
    run.write_recipe(tokenizer={"path": "published"})
    run.train()
    assert ChatTokenizer.load(run.tokenizer).encode("something") == published.encode("something").ids
    run.write_recipe(tokenizer={"path": "nowhere"})
    with pytest.raises(AerieError, match=r"model\.tokenizer\.path: no file .*nowhere/tokenizer\.json"):
        run.train()


def test_packs_hold_every_kept_sample_once_an_epoch(tmp_path):
    run = RunDir(tmp_path, GOOD, epochs=3, turns_per_sample=1)
    run.train()
    manifest = run.pack()
    rows, recipe = run.rows(manifest), load_recipe(run.recipe)
    assert manifest.rows == len(rows) == 27
    assert set(rows[0]) == set(PACK_SCHEMA.names)
    for epoch in range(3):
        assert sorted(r["sample_id"] for r in rows if r["epoch"] == epoch) == sorted(s.sample_id for s in GOOD)
    assert [row["pack"] for row in rows] == sorted(row["pack"] for row in rows)
    assert [row["epoch"] for row in rows] == sorted(row["epoch"] for row in rows)
    tokenizer, samples = ChatTokenizer.load(run.tokenizer), {s.sample_id: s for s in read_samples(run.formatting)}
    for row in rows:
        assert row["tokens"] == token_count(samples[row["sample_id"]], tokenizer, recipe.model, row["turns"])
        assert len(row["turns"]) == row["tiles"] == 1
    loads = {pack: sum(row["tokens"] for row in rows if row["pack"] == pack) for pack in {r["pack"] for r in rows}}
    assert sorted(loads) == list(range(len(loads)))
    assert max(loads.values()) <= 256


def test_bad_samples_are_dropped_with_their_reason(tmp_path):
    run = RunDir(tmp_path, GOOD + BAD, max_tiles_per_pack=2)
    run.train()
    manifest = run.pack()
    mixed, talks = manifest.counts
    assert (mixed.source, mixed.rows_in, mixed.rows_out) == ("mixed", 7, 0)
    assert mixed.dropped == {
        "image_token_mismatch": 3,
        "malformed_turns": 1,
        "not_in_stage": 1,
        "too_long": 1,
        "too_many_tiles": 1,
    }
    assert (talks.rows_in, talks.rows_out, talks.dropped) == (9, 9, {})
    assert {row["source"] for row in run.rows(manifest)} == {"talks"}


def test_the_report_has_metrics_of_every_strategy_and_histograms(tmp_path):
    run = RunDir(tmp_path, GOOD, epochs=2)
    run.train()
    report = run.report(run.pack())
    assert set(report["strategies"]) == {"balanced", "best_fit", "first_fit", "reference"}
    names = {
        "packs", "fill", "samples_per_pack", "samples_per_pack_std", "length_spread", "attention_imbalance",
        "tile_imbalance",
    }  # fmt: skip
    assert all(set(metrics) == names for metrics in (report["metrics"], *report["strategies"].values()))
    assert report["metrics"]["fill"] == pytest.approx(report["tokens"] / report["metrics"]["packs"] / 256)
    assert sum(report["length_histogram"]["counts"]) == report["uses"] == 18
    assert sum(report["fill_histogram"]["counts"]) == report["metrics"]["packs"]
    assert report["categories"] == {"general_vqa": {"uses": 18, "tokens": report["tokens"], "tiles": 18}}


def test_a_stage_without_samples_is_a_clear_error(tmp_path):
    run = RunDir(tmp_path, [talk("q", "a", stages=["stage_1"])])
    run.train()
    with pytest.raises(AerieError, match="stage_2 has no sample to train on"):
        run.pack()
    with pytest.raises(AerieError, match="unknown stage 'stage_3'"):
        run.pack("stage_3")


def test_packing_before_the_tokenizer_is_a_clear_error(tmp_path):
    with pytest.raises(AerieError, match=r"no manifest at .*tokenizer"):
        RunDir(tmp_path, GOOD).pack()
