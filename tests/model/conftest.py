"""A tiny network with the real parts, and packs for it."""

import numpy as np
import pytest
import torch
import yaml
from PIL import Image, ImageDraw

from data.images import encode_png, image_ref
from data.ledger import Tally
from data.schema import Turn, make_sample
from data.storage import Manifest, commit, write_samples
from model.config import ModelSettings
from model.inputs.batch import IGNORE_INDEX, EncodedSample
from model.steps import pack_stage, train_tokenizer
from model.vlm import build_model

IMAGE_ID, VOCABULARY, SIDE = 90, 96, 64


@pytest.fixture(autouse=True)
def linear_is_torchs_own():
    """DeepSpeed puts its own function in place of torch's for good once ZeRO-3 was used: it keeps more for backward."""
    torch.nn.functional.linear = torch._C._nn.linear


@pytest.fixture(scope="session")
def tiny_settings():
    return ModelSettings(
        tiling={"tile_size": SIDE, "max_tiles": 2},
        siglip={"hidden_size": 16, "intermediate_size": 32, "num_layers": 1, "num_heads": 2, "patch_size": 8},
        convnext={"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 24), "image_size": 128},
        language={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_layers": 2,
            "num_heads": 4,
            "num_kv_heads": 2,
            "max_positions": 512,
        },
        initialisation="fan_in",
    )


@pytest.fixture
def tiny_model(tiny_settings):
    return build_model(tiny_settings, VOCABULARY, IMAGE_ID, seed=3)


@pytest.fixture
def encoded(tiny_settings):
    """A maker of encoded samples: (tokens of text, tiles, seed) -> EncodedSample with answers in its last third."""

    def make(text_tokens: int, tiles: int, seed: int = 0) -> EncodedSample:
        rng = np.random.default_rng(seed)
        image = np.full(tiles * tiny_settings.tokens_per_tile, IMAGE_ID)
        text = rng.integers(0, IMAGE_ID, text_tokens)
        ids = np.concatenate([text[:3], image, text[3:]]).astype(np.int64)
        labels = np.where(np.arange(len(ids)) >= len(ids) - text_tokens // 3, ids, IGNORE_INDEX)
        return EncodedSample(
            sample_id=f"s{seed}",
            source="made",
            category="general_vqa" if tiles else "text_only",
            input_ids=ids,
            labels=labels,
            tiles=rng.integers(0, 256, (tiles, SIDE, SIDE, 3), dtype=np.uint8),
        )

    return make


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """(recipe path, sha256, run folder) of a small run: real data through the real steps, but for the trained stages.

    Their curves and predictions are made up here: training belongs to the end-to-end test.
    """
    return build_run(tmp_path_factory.mktemp("finished") / "run")


RECIPE = """
name: report
seed: 3
data:
  sources: [{name: easy-vqa, max_samples: 16, max_heldout: 4}, {name: text-lines, max_samples: 12, max_heldout: 3},
            {name: chatterbot, max_samples: 10, max_heldout: 3}]
  embedding: {image_size: 32, max_text_tokens: 8}
  filtering: {max_answer_chars: 40}
  selection:
    categories: {general_vqa: {strategy: kmeans, clusters: 3, quota: 8}}
    stage_1_share: 0.5
  augmentation: {rules: {ocr_count_words: 0.5}}
model:
  tiling: {tile_size: 64, max_tiles: 2}
  siglip: {hidden_size: 16, intermediate_size: 32, num_layers: 1, num_heads: 2, patch_size: 8}
  language: {hidden_size: 32, intermediate_size: 64, num_layers: 1, num_heads: 4, num_kv_heads: 2}
  tokenizer: {vocab_size: 400}
stages:
  stage_1: {trainable: [connector], capacity: 1024, learning_rate: 1.0e-3}
  stage_1_5: {capacity: 1024, learning_rate: 1.0e-3, turns_per_sample: 4}
  stage_2: {capacity: 1024, learning_rate: 5.0e-4}
"""


@pytest.fixture(scope="session")
def make_run():
    """`build_run`, for runs of other recipes or with other outputs."""
    return build_run


def two_in_three(stage, number, question, blind):
    """The outputs of a run that nothing else is asked of: right but for every third; blind ones always `no`."""
    return "no" if blind or number % 3 == 0 else question.answer


def build_run(run, recipe_text=None, output=two_in_three):
    """Run the steps of a recipe (`RECIPE`) into a folder; `output(stage, number, question, blind)` says the answers."""
    from data import steps as data_steps
    from model import steps as model_steps
    from model.evaluation.judging_step import judge_benchmarks
    from model.evaluation.promotion.gate import compare_with_accepted
    from model.recipe import STAGES, load_recipe

    run.mkdir(parents=True)
    path = run / "recipe.yaml"
    path.write_text(recipe_text or RECIPE)
    recipe = load_recipe(str(path))
    common = (str(path), recipe.sha256)
    at = {name: str(run / name) for name in ("validation", "embedding", "gate", "filtering", "selection")}
    at |= {name: str(run / name) for name in ("augmentation", "formatting", "tokenizer")}
    sources = [str(run / "sourcing" / use.name) for use in recipe.data.sources]
    for use, folder in zip(recipe.data.sources, sources, strict=True):
        data_steps.source_samples(*common, use.name, folder)
    data_steps.validate_samples(*common, sources, at["validation"])
    data_steps.embed_samples(*common, at["validation"], at["embedding"])
    data_steps.gate_sources(*common, at["validation"], at["embedding"], at["gate"])
    data_steps.filter_samples(*common, at["gate"], at["filtering"])
    data_steps.select_samples(*common, at["filtering"], at["embedding"], at["selection"])
    data_steps.augment_samples(*common, at["selection"], at["augmentation"])
    data_steps.format_samples(*common, at["augmentation"], at["validation"], at["formatting"])
    model_steps.train_tokenizer(*common, at["formatting"], at["tokenizer"])
    for stage in STAGES:
        model_steps.pack_stage(*common, stage, at["formatting"], at["tokenizer"], str(run / "packing" / stage))
        made_up_stage(run, stage, recipe.sha256)
        made_up_evaluation(run, stage, recipe.sha256, output)
    judge_benchmarks(*common, str(run / "evaluation/stage_2"), str(run / "judging"))
    compare_with_accepted(
        *common,
        str(run / "stage_2"),
        str(run / "evaluation/stage_2"),
        str(run / "judging"),
        str(run.parent / "registry"),
        str(run / "promotion"),
    )
    return str(path), recipe.sha256, str(run)


def made_up_stage(run, stage, sha256):
    """A committed stage with a falling loss; its ledger is what was packed."""
    import json

    from data.ledger import Tally
    from data.storage import Manifest, attach, commit, read_manifest

    folder, tally = str(run / stage), Tally(stage)
    for count in read_manifest(str(run / "packing" / stage)).counts:
        tally.take(count.source, count.rows_out)
        tally.keep(count.source, count.rows_out)
    steps = [
        {
            "step": n,
            "loss": 3 / n + 0.1 * (n % 2),
            "learning_rate": 1e-3,
            "tokens": 90,
            "samples": 4,
            "grad_norm": 1.0,
            "packs": [n - 1, n - 1],
            "category_losses": {"chart_table": 3 / n, "text_only": 6 / n},
        }
        for n in range(1, 61)
    ]
    files = {
        "metrics": attach(folder, "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in steps).encode()),
        "weights": attach(folder, "model.safetensors", b"weights"),
        "config": attach(folder, "config.json", b'{"parameters": {"vision": 2000, "connector": 300, "language": 40}}'),
    }
    manifest = Manifest(
        step=stage, fingerprint=stage, recipe_sha256=sha256, rows=4, shards=(), counts=tally.counts(), attachments=files
    )
    commit(folder, manifest)


def made_up_evaluation(run, stage, sha256, output):
    """Every held-out question with the answer that `output` gives."""
    import json

    from data.storage import Manifest, attach, commit, read_manifest
    from model.evaluation.predictions import Prediction, predictions_parquet
    from model.evaluation.questions import heldout_samples, sample_questions
    from model.evaluation.scores import scores_document

    folder, formatting = str(run / "evaluation" / stage), str(run / "formatting")
    samples = heldout_samples(formatting, read_manifest(formatting))
    questions = [question for sample in samples for question in sample_questions(sample)]
    predictions = [
        Prediction(
            **{name: getattr(question, name) for name in ("question_id", "sample_id", "source", "category", "task")},
            answer_type=question.answer_type,
            prompt=question.prompt,
            answer=question.answer,
            output=output(stage, number, question, blind),
            majority="yes",
            blind=blind,
            checkpoint="made-up",
            rule=question.rule,
            answers=question.answers,
        )
        for blind in ((False, True) if stage == "stage_2" else (False,))
        for number, question in enumerate(questions)
        if question.images or not blind
    ]
    files = {
        "predictions": attach(folder, "predictions.parquet", predictions_parquet(predictions)),
        "scores": attach(
            folder, "scores.json", json.dumps(scores_document(stage, "made-up", predictions, None)).encode()
        ),
    }
    manifest = Manifest(
        step=f"evaluation/{stage}", fingerprint=stage, recipe_sha256=sha256, rows=0, shards=(), attachments=files
    )
    commit(folder, manifest)


TRAINING_DOCUMENT = {
    "name": "training",
    "seed": 5,
    "data": {"sources": [{"name": "shapes"}]},
    "model": {
        "tiling": {"tile_size": SIDE, "max_tiles": 2},
        "siglip": {"hidden_size": 16, "intermediate_size": 32, "num_layers": 1, "num_heads": 2, "patch_size": 8},
        "convnext": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 24], "image_size": 128},
        "language": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_layers": 2,
            "num_heads": 4,
            "num_kv_heads": 2,
            "max_positions": 512,
            "embedding_rows": 400,  # more than the tokenizer's tokens, as in the published tables
        },
        "tokenizer": {"vocab_size": 320},
        "initialisation": "fan_in",
    },
    "stages": {
        "stage_1": {"trainable": ["connector"], "learning_rate": 2e-3, "capacity": 256, "precision": "fp32"},
        "stage_1_5": {
            "learning_rate": 2e-3,
            "capacity": 256,
            "packs_per_step": 2,
            "epochs": 3,
            "precision": "fp32",
            "checkpoint_every": 3,
        },
        "stage_2": {"learning_rate": 1e-3, "capacity": 256, "precision": "bf16"},
    },
}


@pytest.fixture(scope="session")
def training_folder(tmp_path_factory):
    """A run folder up to packing, made by the real steps from drawn shapes and some text-only samples."""
    run = tmp_path_factory.mktemp("training")
    recipe, formatting, tokenizer = (str(run / name) for name in ("recipe.yaml", "formatting", "tokenizer"))
    (run / "recipe.yaml").write_text(yaml.safe_dump(TRAINING_DOCUMENT, sort_keys=False))
    samples = [_shape_sample(number) for number in range(37)]
    tally = Tally("formatting")
    tally.take("shapes", len(samples))
    tally.keep("shapes", len(samples))
    manifest = Manifest(
        step="formatting",
        fingerprint="made",
        recipe_sha256="",
        rows=len(samples),
        shards=write_samples(formatting, samples),
        counts=tally.counts(),
    )
    commit(formatting, manifest)
    train_tokenizer(recipe, "", formatting, tokenizer)
    for stage in TRAINING_DOCUMENT["stages"]:
        pack_stage(recipe, "", stage, formatting, tokenizer, str(run / "packing" / stage))
    return run


def _shape_sample(number):
    colour = ("red", "green", "blue")[number % 3]
    image = Image.new("RGB", (SIDE, SIDE), (number, 20, 30))
    ImageDraw.Draw(image).rectangle((8, 8, 24 + number, 40), fill=colour)
    place, images = ("<image>\n", (image_ref(encode_png(image), f"{number}.png"),)) if number % 6 else ("", ())
    turns = [Turn(role="user", content=f"{place}which colour?"), Turn(role="assistant", content=colour)]
    turns += [Turn(role="user", content=f"number {number}?"), Turn(role="assistant", content=f"{number}")] * 3
    category = "general_vqa" if images else "text_only"
    meta = {"stages": list(TRAINING_DOCUMENT["stages"])}
    return make_sample(source="shapes", category=category, images=images, conversations=tuple(turns), meta=meta)


@pytest.fixture(scope="session")
def alone():
    """One-process distributed training inside the test process, deterministic and on one thread; gives the device."""
    import os

    import torch
    from torch import distributed

    from model.training.engine import join_processes

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield join_processes()
    distributed.destroy_process_group()
    torch.set_num_threads(threads)
