"""CPU time of the formatting step per row, against the same rules applied sample by sample.

    python tests/benchmarks/bench_formatting.py                      100,000 rows, a table
    python tests/benchmarks/bench_formatting.py --rows 1000000 --json

Rows are made up from a seed: real small PNGs reused, one to three pairs, half of them without a declared task, one in
ten answers decorated, meta as the steps before leave it. Both ways read and write the same Parquet shards.
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from PIL import Image, ImageDraw

from data.curation.augmentation_rules import tasks_of
from data.curation.formatting_pairs import PairFormatter
from data.curation.formatting_tables import format_shard, merged
from data.images import encode_png, image_ref
from data.schema import Sample, Turn, table_to_samples
from data.settings.formatting import FormattingSettings
from data.storage import Manifest, read_tables, write_samples

SETTINGS = FormattingSettings(wording="standard")
NOUNS = ("cup", "dog", "ladder", "window", "bridge", "lamp", "chart", "bar", "line", "market", "tree", "sign", "street")
SENTENCES = (
    "The picture shows a {0} standing next to a {1} in bright light.",
    "Behind it one can see a {1} and part of a {0}.",
    "The values rise from {2} to {3} over the years shown.",
    "Nothing else in the scene draws attention away from the {0}.",
)


def pair(rng: random.Random) -> tuple[str, str, str]:
    """(task, question, answer) in the proportions of a visual instruction mix."""
    one, other, number = rng.choice(NOUNS), rng.choice(NOUNS), rng.randint(0, 999)
    kind = rng.random()
    if kind < 0.2:
        return "yes_no", f"Is there a {one} to the left of the {other} number {number}?", rng.choice(["Yes.", "no"])
    if kind < 0.35:
        options = "\n".join(f"{letter}. the {rng.choice(NOUNS)} {number}" for letter in "ABCD")
        return "open", f"Which of these is a {one}?\n{options}\nAnswer with the letter.", rng.choice("ABCD")
    if kind < 0.5:
        return "value_at", f"What is the value of {one} for {other} {number}?", f"{number / 10}"
    if kind < 0.65:
        return "open", f"What stands beside the {one} number {number}? Give a short answer.", f"the {other}"
    if kind < 0.75:
        return "open", f"What is {number} times 3?", rf"The answer is $\boxed{{{3 * number}}}$."
    text = " ".join(s.format(one, other, number, number + 7) for s in rng.choices(SENTENCES, k=rng.randint(2, 12)))
    return ("dialogue" if kind < 0.85 else "open"), f"Describe the {one} of picture {number}.", text


def rows(count: int, seed: int = 7) -> list[Sample]:
    """Samples with images, system turns and measures."""
    rng, images = random.Random(seed), []
    for number in range(16):
        image = Image.new("RGB", (64, 48), (number * 15, 90, 200 - number * 9))
        ImageDraw.Draw(image).rectangle((5 + number, 5, 40, 30), fill=(250, number * 12, 30))
        images.append(image_ref(encode_png(image), f"{number}.png"))
    made = []
    for number in range(count):
        pairs = [pair(rng) for _ in range(rng.randint(1, 3))]
        turns = [
            turn for _, q, a in pairs for turn in (Turn(role="user", content=q), Turn(role="assistant", content=a))
        ]
        turns[0] = replace(turns[0], content="<image>\n" + turns[0].content)
        meta = {
            "key": f"row {number}",
            "measures": {"answer_chars": 17, "ngram": 0.25, "decimals": 2},
            "split": "train",
        }
        if rng.random() < 0.5:
            meta["tasks"] = [task for task, _, _ in pairs]
        made.append(
            Sample(
                sample_id=f"{rng.getrandbits(128):032x}",
                source=f"source-{number % 40}",
                category="general_vqa",
                images=(rng.choice(images),),
                conversations=tuple(turns),
                meta=meta,
            )
        )
    return made


def by_sample(folder: str, manifest: Manifest, out: str) -> int:
    """Rows through typed samples, one by one."""
    formatter = PairFormatter(SETTINGS)

    def formatted(sample: Sample) -> Sample:
        tasks, turns = tasks_of(sample), []
        for turn in sample.conversations:
            if turn.role == "assistant" and turns and turns[-1].role == "user":
                done = formatter(tasks[sum(t.role == "assistant" for t in turns)], turns[-1].content, turn.content)
                turns[-1:] = [replace(turns[-1], content=done.question), replace(turn, content=done.answer)]
            else:
                turns.append(turn)
        return replace(sample, conversations=tuple(turns))

    tables = read_tables(folder, manifest)
    shards = write_samples(out, (formatted(sample) for table in tables for sample in table_to_samples(table)))
    return sum(shard.rows for shard in shards)


def by_column(folder: str, manifest: Manifest, out: str) -> int:
    """Rows as the step formats them."""
    parts = [format_shard(folder, shard, step="a", out_uri=out, settings=SETTINGS) for shard in manifest.shards]
    return merged(part for _, part in parts).rows.total()


def cpu_us(function, folder: str, manifest: Manifest, out: str) -> float:
    """CPU-µs a row, reading and writing included."""
    start = time.process_time()
    done = function(folder, manifest, out)
    return 1e6 * (time.process_time() - start) / done


def measured(count: int) -> dict[str, float]:
    """All figures for so many rows; the slow way sees at most 20,000 of them."""
    with tempfile.TemporaryDirectory(prefix="aerie-formatting-") as folder:
        source, block, shards = str(Path(folder, "in")), 20_480, []
        for start in range(0, count, block):
            part = write_samples(f"{source}/{start}", rows(min(block, count - start), seed=start))
            shards += [replace(shard, path=f"{start}/{shard.path}") for shard in part]
        manifest = Manifest(step="augmentation", fingerprint="", recipe_sha256="", rows=count, shards=tuple(shards))
        few = replace(manifest, shards=manifest.shards[:10])
        base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        column = cpu_us(by_column, source, manifest, f"{folder}/columns")
        wall = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sample = cpu_us(by_sample, source, few, f"{folder}/samples")
    return {
        "rows": count,
        "cpu_us_per_row": round(column, 2),
        "rows_per_s_one_process": round(count / wall),
        "by_sample_cpu_us_per_row": round(sample, 2),
        "times_faster": round(sample / column, 2),
        "peak_rss_mib": round(peak / 1024),
        "rss_before_mib": round(base / 1024),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="CPU time of the formatting step.")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measured(arguments.rows)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<28}{value:>12,}")


if __name__ == "__main__":
    main()
