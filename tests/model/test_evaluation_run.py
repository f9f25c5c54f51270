"""The evaluation step on a run folder: what is asked, what is stored, what is repeated."""

import json
from pathlib import Path

import pytest
import yaml
from kill_answers import check_tries, files_of, see
from PIL import Image

from data.errors import AerieError
from data.images import encode_png, image_ref
from data.ledger import Tally
from data.registry.sourcing import parquet_bytes
from data.schema import Sample, Turn, make_sample, samples_to_table
from data.storage import Manifest, attach, commit, read_attachment, read_manifest, write_samples
from model.checkpoint import save_checkpoint
from model.evaluation.predictions import read_predictions
from model.evaluation.run import evaluate_checkpoint
from model.inputs.tokens import ChatTokenizer
from model.recipe import STAGES, load_recipe
from model.steps import train_tokenizer
from model.tensor_files import WEIGHTS_FILE
from model.vlm import build_model

DOCUMENT = {
    "name": "evaluation",
    "seed": 7,
    "data": {"sources": [{"name": "shapes"}, {"name": "talk"}]},
    "model": {
        "tiling": {"tile_size": 32, "max_tiles": 2},
        "siglip": {"hidden_size": 16, "intermediate_size": 32, "num_layers": 1, "num_heads": 2, "patch_size": 8},
        "language": {"hidden_size": 32, "intermediate_size": 64, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1},
        "tokenizer": {"vocab_size": 320},
    },
    "stages": {stage: {"learning_rate": 1e-3} for stage in STAGES},
    "evaluation": {"max_samples_early_stages": 2, "batch_size": 4, "max_new_tokens": 3},
}
COLOURS = ("red", "green", "blue")


def shape(colour: str, size: int, meta: dict) -> Sample:
    image = image_ref(encode_png(Image.new("RGB", (size, size), colour)), f"{colour}.png")
    turns = (("user", "<image>\nwhat colour?"), ("assistant", colour), ("user", "red?"), ("assistant", "no"))
    return make_sample(
        source="shapes", category="general_vqa", images=(image,), meta={"tasks": ["color", "yes_no"], **meta},
        conversations=tuple(Turn(role=role, content=text) for role, text in turns),
    )  # fmt: skip


def talk(number: int, meta: dict) -> Sample:
    turns = (("user", f"how are you {number}?"), ("assistant", "fine"))
    return make_sample(
        source="talk", category="text_only", images=(), meta={"task": "dialogue", **meta},
        conversations=tuple(Turn(role=role, content=text) for role, text in turns),
    )  # fmt: skip


def write_formatting(folder: str) -> None:
    trained = {"stages": list(STAGES)}
    samples = [*(shape(colour, 40, trained) for colour in COLOURS), *(talk(number, trained) for number in range(3))]
    heldout = [*(shape(colour, 48, {}) for colour in COLOURS), *(talk(number, {}) for number in range(10, 14))]
    tally = Tally("formatting")
    for sample in samples:
        tally.take(sample.source)
        tally.keep(sample.source)
    shards = write_samples(folder, samples)
    commit(
        folder,
        Manifest(
            step="formatting", fingerprint="f", recipe_sha256="", rows=len(samples), shards=shards,
            counts=tally.counts(),
            attachments={"heldout": attach(folder, "heldout.parquet", parquet_bytes(samples_to_table(heldout)))},
        ),
    )  # fmt: skip


def write_checkpoint(folder: str, recipe: str, tokenizer_uri: str, seed: int = 1) -> None:
    tokenizer = ChatTokenizer.load(tokenizer_uri)
    model = build_model(load_recipe(recipe).model, tokenizer.vocab_size, tokenizer.image_context_id, seed)
    hashes = save_checkpoint(folder, model)
    attachments = {name: {"path": name, "sha256": sha256} for name, sha256 in hashes.items()}
    commit(
        folder,
        Manifest(
            step=Path(folder).name, fingerprint=f"seed {seed}", recipe_sha256="", rows=0, shards=(), counts=(),
            attachments=attachments,
        ),
    )  # fmt: skip


class RunFiles:
    """The folders that an evaluation reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recipe, self.formatting, self.tokenizer, self.checkpoint = (
            str(folder / name) for name in ("recipe.yaml", "formatting", "tokenizer", "checkpoint")
        )
        Path(self.recipe).write_text(yaml.safe_dump(DOCUMENT, sort_keys=False))
        write_formatting(self.formatting)
        train_tokenizer(self.recipe, "", self.formatting, self.tokenizer)
        write_checkpoint(self.checkpoint, self.recipe, self.tokenizer)

    def evaluate(self, stage: str, checkpoint: str = "") -> tuple[str, Manifest]:
        out = str(self.folder / "evaluation" / stage)
        inputs = (checkpoint or self.checkpoint, self.formatting, self.tokenizer)
        return out, evaluate_checkpoint(self.recipe, "", stage, *inputs, out)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> RunFiles:
    return RunFiles(tmp_path_factory.mktemp("run"))


def test_the_last_stage_asks_everything_and_the_images_once_more_blinded(files):
    out, manifest = files.evaluate("stage_2")
    predictions = read_predictions(out, manifest)
    assert [p.blind for p in predictions] == [False] * (3 * 2 + 4) + [True] * (3 * 2)
    assert {p.source for p in predictions if p.blind} == {"shapes"}
    assert {p.checkpoint for p in predictions} == {read_manifest(files.checkpoint).sha256()}
    colours = [p for p in predictions if p.task == "color" and not p.blind]
    assert [p.answer for p in colours] == list(COLOURS)
    assert {p.majority for p in predictions if p.source == "talk"} == {"fine"}
    scores = json.loads(read_attachment(out, manifest, "scores"))
    assert (scores["questions"], scores["blind_questions"], scores["max_samples_per_source"]) == (10, 6, None)
    assert scores["headline"]["talk"]["majority"] == 1.0
    assert {count.source: (count.rows_in, count.rows_out) for count in manifest.counts} == {
        "shapes": (6, 6),
        "talk": (4, 4),
    }


def test_an_early_stage_asks_a_capped_sample_and_the_ledger_says_so(files):
    out, manifest = files.evaluate("stage_1")
    predictions = read_predictions(out, manifest)
    assert len(predictions) == 2 * 2 + 2
    assert not any(p.blind for p in predictions)
    shapes, talks = manifest.counts
    assert (shapes.rows_in, shapes.rows_out, shapes.dropped) == (6, 4, {"early_stage_cap": 2})
    assert (talks.rows_in, talks.rows_out, talks.dropped) == (4, 2, {"early_stage_cap": 2})


def test_a_finished_evaluation_is_kept_and_another_checkpoint_is_asked_anew(files, capsys):
    out, first = files.evaluate("stage_1_5")
    capsys.readouterr()
    assert files.evaluate("stage_1_5")[1] == first
    assert capsys.readouterr().out == ""
    other = str(files.folder / "other")
    write_checkpoint(other, files.recipe, files.tokenizer, seed=2)
    assert files.evaluate("stage_1_5", other)[1].fingerprint != first.fingerprint
    assert {p.checkpoint for p in read_predictions(out, read_manifest(out))} == {read_manifest(other).sha256()}


def test_a_step_that_is_killed_asks_only_the_rest_and_ends_as_one_that_was_not(files, tmp_path):
    inputs = {name: getattr(files, name) for name in ("recipe", "checkpoint", "formatting", "tokenizer")}
    seen = see(tmp_path, **inputs)
    check_tries(seen["tries"], 10 + 6)
    assert sum(bool(one["stored"]) for one in seen["tries"]) > 3
    assert set(files_of(seen["whole"])) == {"manifest.json", "predictions.parquet", "scores.json"}
    ended = {name: data for name, data in files_of(seen["killed"]).items() if not name.startswith("answered/")}
    assert ended == files_of(seen["whole"])


def test_answers_so_far_of_another_checkpoint_are_not_taken(files, tmp_path, monkeypatch):
    other, out = str(files.folder / "third"), str(tmp_path / "out")
    write_checkpoint(other, files.recipe, files.tokenizer, seed=3)
    inputs = (files.formatting, files.tokenizer, out)
    with monkeypatch.context() as patch:
        patch.setattr("model.evaluation.run.scores_document", interrupted)  # all is answered, nothing committed
        with pytest.raises(KeyboardInterrupt):
            evaluate_checkpoint(files.recipe, "", "stage_1", files.checkpoint, *inputs)
    assert list(Path(out, "answered").glob("shard-*"))
    manifest = evaluate_checkpoint(files.recipe, "", "stage_1", other, *inputs)
    assert {p.checkpoint for p in read_predictions(out, manifest)} == {read_manifest(other).sha256()}
    assert not Path(out, "answered").exists()


def interrupted(*_):
    raise KeyboardInterrupt


def test_an_unknown_stage_and_a_foreign_tokenizer_are_named(files, tmp_path):
    with pytest.raises(AerieError, match="unknown stage 'stage_3'"):
        files.evaluate("stage_3")
    document = {**DOCUMENT, "model": {**DOCUMENT["model"], "tokenizer": {"vocab_size": 300}}}
    recipe, foreign = tmp_path / "recipe.yaml", tmp_path / "tokenizer"
    recipe.write_text(yaml.safe_dump(document, sort_keys=False))
    train_tokenizer(str(recipe), "", files.formatting, str(foreign))
    with pytest.raises(AerieError, match="evaluate with the tokenizer of the run that trained it"):
        evaluate_checkpoint(
            files.recipe, "", "stage_2", files.checkpoint, files.formatting, str(foreign), str(tmp_path / "out")
        )


def test_damaged_weights_are_named(files, tmp_path):
    damaged = str(tmp_path / "damaged")
    write_checkpoint(damaged, files.recipe, files.tokenizer)
    weights = Path(damaged, WEIGHTS_FILE)
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(AerieError, match=r"model\.safetensors"):
        files.evaluate("stage_2", damaged)
