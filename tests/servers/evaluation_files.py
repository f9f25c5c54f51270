"""The folders that an evaluation step reads: recipe, formatted samples, tokenizer and a small network's checkpoint."""

from pathlib import Path

import torch
import yaml
from PIL import Image

from data.images import encode_png, image_ref
from data.ledger import Tally
from data.registry.sourcing import parquet_bytes
from data.schema import Sample, Turn, make_sample, samples_to_table
from data.storage import Manifest, attach, commit, write_samples
from model.checkpoint import save_checkpoint
from model.evaluation.run import evaluate_checkpoint
from model.inputs.tokens import ChatTokenizer
from model.recipe import STAGES, load_recipe
from model.steps import train_tokenizer
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


def write_checkpoint(folder: str, recipe: str, tokenizer_uri: str, seed: int = 1, spread: float = 0.0) -> None:
    """An untrained network's checkpoint; with a `spread` of its decoder's weights it says something else each time."""
    tokenizer = ChatTokenizer.load(tokenizer_uri)
    model = build_model(load_recipe(recipe).model, tokenizer.vocab_size, tokenizer.image_context_id, seed)
    if spread:
        with torch.no_grad():
            for parameter in model.language.parameters():
                if parameter.ndim == 2:
                    parameter.normal_(0, spread, generator=torch.Generator().manual_seed(len(parameter)))
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

    def evaluate(self, stage: str, checkpoint: str = "", *, recipe: str = "", out: str = "") -> tuple[str, Manifest]:
        out = out or str(self.folder / "evaluation" / stage)
        inputs = (checkpoint or self.checkpoint, self.formatting, self.tokenizer)
        return out, evaluate_checkpoint(recipe or self.recipe, "", stage, *inputs, out)
