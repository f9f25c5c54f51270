"""Packs a second from real JPEGs to tensors, and how long a step waits for them: worker processes against one thread.

    python tests/benchmarks/bench_feed.py [--workers 0 2 4 8] [--packs 48] [--step 0.4] [--images 200] [--json]

Photo-like JPEGs of 2400 x 480 px (1.2 megapixels; 5 tiles of 448 and a thumbnail) with some 512 tokens of text each
go through the real steps' functions: a formatting folder of row groups, a plan of packs of 16,384 tokens. Then
`StepFeed` hands them out, one a step, to a step that takes `--step` seconds (0: as fast as possible): it copies to the
GPU where there is one, and sleeps. A few hundred different images are used again and again under other texts; nothing
is kept from one use to the next but the operating system's file cache.

`wait_share` is the time in `StepFeed.next` of all time after the warm-up (a quarter of the packs); workers 0 is the
thread. An H100 that trains eagle2-1b takes some 20 samples, 2.5 packs a second: step 0.4. `peak_mb` is the resident
memory of this process and of all workers, shared pages counted once for each.
"""
# ruff: noqa: E402 (paths are set first)

import argparse
import io
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

import numpy as np
import torch
import yaml
from PIL import Image

from data.images import image_ref
from data.ledger import Tally
from data.schema import ImageRef, Sample, Turn, make_sample, samples_to_table
from data.shardwise import readable_by_row, write_shard
from data.storage import Manifest, commit
from model.inputs.loader import PackLoader
from model.inputs.stage_packs import pack_stage
from model.inputs.vocabulary import train_tokenizer
from model.recipe import load_recipe
from model.training.feeding.feed import StepFeed

STAGE, SHARD_ROWS, WORDS_A_SAMPLE = "stage_1_5", 512, 470
WORDS = [f"{a}{b}" for a in ("ba", "de", "ki", "lo", "mu", "na", "po", "ra") for b in ("", "n", "s", "t", "lim", "vor")]
DOCUMENT = {
    "name": "feed",
    "seed": 1,
    "data": {"sources": [{"name": "photos"}]},
    "model": {
        "tiling": {"tile_size": 448, "max_tiles": 12},
        "siglip": {"patch_size": 14},
        "tokenizer": {"vocab_size": 600},
    },
    "stages": {name: {"learning_rate": 1e-4, "capacity": 16384} for name in ("stage_1", "stage_1_5", "stage_2")},
}


def jpeg(seed: int, width: int, height: int) -> ImageRef:
    """A picture with the detail of photographs: noise at every scale."""
    dice = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3), np.float32)
    for step, weight in ((1, 0.05), (4, 0.15), (16, 0.3), (80, 0.5)):
        layer = dice.integers(0, 256, (-(-height // step), -(-width // step), 3), np.uint8)
        picture += weight * np.asarray(Image.fromarray(layer).resize((width, height)), np.float32)
    sink = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(sink, "JPEG", quality=85)
    return image_ref(sink.getvalue(), f"{seed}.jpg")


def photo(number: int, image: ImageRef, words: int) -> Sample:
    """A sample of its own text, about `words` words long."""
    dice = np.random.default_rng(number)
    text = " ".join(WORDS[index] for index in dice.integers(0, len(WORDS), words))
    turns = (Turn(role="user", content="<image>\nDescribe it."), Turn(role="assistant", content=text))
    return make_sample(
        source="photos", category="general_vqa", images=(image,), conversations=turns, meta={"stages": [STAGE]}
    )


def build(run: Path, samples: int, images: int) -> None:
    """A run folder up to packing."""
    run.mkdir(parents=True, exist_ok=True)
    (run / "recipe.yaml").write_text(yaml.safe_dump(DOCUMENT, sort_keys=False))
    pictures = [jpeg(seed, 2400, 480) for seed in range(images)]
    rows = [photo(number, pictures[number % images], WORDS_A_SAMPLE) for number in range(samples)]
    shards = []
    for number, start in enumerate(range(0, samples, SHARD_ROWS)):
        table = samples_to_table(rows[start : start + SHARD_ROWS])
        path = f"shard-{number:05d}.parquet"
        shards.append(write_shard(str(run / "formatting"), path, readable_by_row(table), table.num_rows))
    tally = Tally("formatting")
    tally.take("photos", samples)
    tally.keep("photos", samples)
    manifest = Manifest(
        step="formatting", fingerprint="", recipe_sha256="", rows=samples, shards=tuple(shards), counts=tally.counts()
    )
    commit(str(run / "formatting"), manifest)
    recipe, formatting, tokenizer = (str(run / name) for name in ("recipe.yaml", "formatting", "tokenizer"))
    train_tokenizer(recipe, "", formatting, tokenizer)
    pack_stage(recipe, "", STAGE, formatting, tokenizer, str(run / "packing"))


def open_loader(run: Path) -> PackLoader:
    """The packs, with a cache for samples that keeps none: at scale no sample comes twice soon."""
    places = (str(run / name) for name in ("packing", "formatting", "tokenizer"))
    loader = PackLoader.open(load_recipe(str(run / "recipe.yaml")), STAGE, *places)
    loader.sources = replace(loader.sources, sample_cache_bytes=0, row_cache_bytes=0)
    return loader


def resident_bytes() -> int:
    """Of this process and its descendants."""
    parents, sizes = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            sizes[int(folder.name)] = int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:  # it ended meanwhile
            continue
    ours = {os.getpid()}
    while grown := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= grown
    return sum(sizes.get(pid, 0) for pid in ours)


def measured(run: Path, workers: int, packs: int, step: float) -> dict[str, Any]:
    """One number of workers over `packs` packs from the start."""
    loader, settings = open_loader(run), load_recipe(str(run / "recipe.yaml")).stages[STAGE]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    begin = time.monotonic()
    feed = StepFeed(loader, settings, rank=0, world=1, workers=workers)
    warm, waited, samples, tiles, tokens, first = packs // 4, 0.0, 0, 0, 0, 0.0
    peak, start = 0, begin
    for number in range(packs):
        if number == warm:
            start, waited, samples, tiles, tokens = time.monotonic(), 0.0, 0, 0, 0
        found = feed.next()
        first = first or time.monotonic() - begin
        pack = found.packs[0]
        copied = pack.tensors.to(device, non_blocking=True)
        time.sleep(step)
        if device.type == "cuda":
            torch.cuda.synchronize()
        waited, samples = waited + found.wait_seconds, samples + len(pack.batch.sample_ids)
        tiles, tokens = tiles + len(copied.tiles), tokens + len(copied.input_ids)
        if number % 8 == 7:
            peak = max(peak, resident_bytes())
    seconds, counted = time.monotonic() - start, packs - warm
    feed.close()
    return {
        "workers": workers,
        "packs_per_second": counted / seconds,
        "samples_per_second": samples / seconds,
        "tiles_per_pack": tiles / counted,
        "tokens_per_pack": tokens / counted,
        "wait_share": waited / seconds,
        "first_pack_seconds": first,
        "peak_mb": peak / 1e6,
    }


def main() -> None:
    """The command line at the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4, 8])
    parser.add_argument("--packs", type=int, default=64, help="for each number of workers")
    parser.add_argument("--step", type=float, default=0.4, help="seconds that a step computes")
    parser.add_argument("--images", type=int, default=200, help="different ones")
    parser.add_argument("--folder", help="keep the data there, or use what is there")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(options.folder or temporary) / "run"
        if not (run / "packing" / "manifest.json").exists():
            build(run, samples=8 * options.packs, images=options.images)
        packs = min(options.packs, len(open_loader(run)))
        rows = [measured(run, workers, packs, options.step) for workers in options.workers]
    cores = len(os.sched_getaffinity(0))
    if options.json:
        print(json.dumps({"cores": cores, "step_seconds": options.step, "packs": packs, "feeds": rows}, indent=1))
        return
    print(f"{cores} cores, {packs} packs each, a step computes {options.step} s")
    for row in rows:
        print("  ".join(f"{name} {value:.3g}" for name, value in row.items()))


if __name__ == "__main__":
    main()
