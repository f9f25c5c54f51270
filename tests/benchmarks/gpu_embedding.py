"""The embedding step on one GPU: pictures (gpu_pictures.py), texts through MPNet-base's geometry, and both together.

Random weights: the time does not depend on them. Texts are questions of about twenty tokens.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from gpu_pictures import BATCH, jpegs, noted, numbered, picture_figures, sscd_file

TEXTS, STEP_SAMPLES, START_SAMPLES, DISTINCT = 65_536, 32_768, 1_024, 64


def embedding_figures() -> dict[str, Any]:
    """Both encoders, and the step that uses them."""
    with tempfile.TemporaryDirectory() as folder:
        parts = {"images": lambda: picture_figures(Path(folder)), "step": step_figures}
        parts["texts"] = lambda: _texts(Path(folder))
        return {name: noted(name, part()) for name, part in parts.items()}


def step_figures() -> dict[str, Any]:
    """The whole embedding step on samples of a picture and a question each: read, decoded, encoded, written.

    Small runs come before it: one for TorchScript's first batches, one that shows what starting takes (processes),
    which the rate leaves out.
    """
    with tempfile.TemporaryDirectory() as place:
        folder, distinct = Path(place), jpegs(DISTINCT)
        encoders = {"image_encoder": f"sscd:{sscd_file(folder)}", "text_encoder": f"sentence:{sentence_folder(folder)}"}
        _step_seconds(folder / "first", encoders, distinct, START_SAMPLES)
        start = _step_seconds(folder / "small", encoders, distinct, START_SAMPLES)
        seconds = _step_seconds(folder / "large", encoders, distinct, STEP_SAMPLES)
    rate = (STEP_SAMPLES - START_SAMPLES) / (seconds - start)
    return {"samples": STEP_SAMPLES, "seconds": seconds, "start_seconds": start, "samples_per_second": rate}


def _step_seconds(folder: Path, encoders: dict[str, str], distinct: list[bytes], count: int) -> float:
    import yaml

    from data.curation.embedding import embed_samples
    from data.schema import ImageRef, Turn, make_sample
    from data.storage import Manifest, commit, write_samples

    images = [
        ImageRef(bytes=numbered(distinct[n % DISTINCT], n), path=None, width=640, height=480, pixels=str(n))
        for n in range(count)
    ]
    samples = [
        make_sample(
            source="made",
            category="general_vqa",
            images=(image,),
            conversations=(
                Turn(role="user", content=f"<image>\nWhat do you see in the picture of number {number}?"),
                Turn(role="assistant", content="Noise."),
            ),
            meta={},
        )
        for number, image in enumerate(images)
    ]
    shards = write_samples(str(folder / "validation"), samples, STEP_SAMPLES // 8)
    made = {"step": "validation", "fingerprint": "v", "recipe_sha256": "", "rows": len(samples)}
    commit(str(folder / "validation"), Manifest(**made, shards=shards))
    settings = {**encoders, "batch_size": BATCH, "max_text_tokens": 64, "vector_dtype": "float16"}
    data = {"sources": [{"name": "made"}], "embedding": settings, "gate": {"decontaminate": "none"}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"name": "t", "seed": 1, "data": data}))
    begin = time.perf_counter()
    embed_samples(str(folder / "recipe.yaml"), "", str(folder / "validation"), str(folder / "out"))
    return time.perf_counter() - begin


def sentence_folder(folder: Path) -> str:
    """A sentence encoder of MPNet-base's geometry as a folder: tokenizer of 30,000 words, random weights."""
    import json

    from transformers import MPNetConfig, MPNetModel, MPNetTokenizerFast

    dice = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = sorted({"".join(dice.choice(letters, size)) for size in dice.integers(2, 9, 40_000)})[:30_000]
    special = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    path = folder / "mpnet"
    MPNetModel(MPNetConfig()).save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join([*special, *words, "?", "."]))
    MPNetTokenizerFast(vocab=str(path / "vocab.txt")).save_pretrained(path)
    (path / "words.json").write_text(json.dumps(words))
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    (path / "modules.json").write_text(json.dumps(modules))
    (path / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 768, "pooling_mode_mean_tokens": True}
    (path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return str(path)


def _texts(folder: Path) -> dict[str, Any]:
    import json

    from data.curation.encoders import text_encoder

    path = sentence_folder(folder)
    words = json.loads(Path(path, "words.json").read_text())
    dice = np.random.default_rng(1)
    drawn = dice.integers(0, len(words), (TEXTS, 30)).tolist()
    sizes = dice.integers(6, 31, TEXTS).tolist()
    texts = [" ".join(words[word] for word in row[:size]) + "?" for row, size in zip(drawn, sizes, strict=True)]
    encoder: Any = text_encoder(f"sentence:{path}", 64, BATCH)
    encoder.embed_texts(texts[: 8 * BATCH])
    begin = time.perf_counter()
    encoder.embed_texts(texts)
    rate = TEXTS / (time.perf_counter() - begin)
    return {"texts": TEXTS, "words": [6, 30], "texts_per_second": rate}
