"""What the adapters' tests share: small real files, and an adapter's rows as samples or reasons."""

import io
import json

import pyarrow.parquet as pq
import yaml
from PIL import Image

from data.registry.rows import Accepted, Rejected
from data.registry.sourcing import load_adapter, source_samples
from data.settings.sources import SourceUse
from data.storage import read_attachment, read_samples

CARD = {
    "name": "mine",
    "uri": "file:///nowhere",
    "version": "1",
    "licence": "CC0-1.0",
    "category": "general_vqa",
    "adapter": "llava_json",
    "split_key": "id",
    "description": "Files that a test wrote.",
}


def png(shade=0, size=(20, 10), kind="PNG", **options):
    """A small picture's bytes; each shade gives others."""
    sink = io.BytesIO()
    Image.new("RGB", size, (shade % 256, shade // 256, 40)).save(sink, kind, **options)
    return sink.getvalue()


def ask(question, answer, role=False):
    """One question and its answer as turns, by from/value or by role/content."""
    if role:
        return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def source(train=None, heldout=None):
    """How a recipe uses the source."""
    return SourceUse(name="mine", max_samples=train, max_heldout=heldout)


def rows(card, train=None, heldout=None, seed=3):
    """All rows that the card's adapter yields, twice the same."""
    adapter = load_adapter(card)
    found = list(adapter.read(card, source(train, heldout), seed))
    assert found == list(adapter.read(card, source(train, heldout), seed))
    assert adapter.identity(card) == adapter.identity(card)
    return found


def samples(card, train=None, heldout=None, seed=3):
    """The accepted rows' samples."""
    return [row.sample for row in rows(card, train, heldout, seed) if isinstance(row, Accepted)]


def reasons(card, **caps):
    """(key, reason) of each rejected row; every one has a detail that can be shown."""
    refused = [row for row in rows(card, **caps) if isinstance(row, Rejected)]
    assert all(row.detail and row.detail.encode() and row.key.encode() for row in refused)
    return [(row.key, row.reason) for row in refused]


def texts(found):
    """The turns' texts of each sample."""
    return [[turn.content for turn in sample.conversations] for sample in found]


def run_source(folder, card, seed=3, **use):
    """Source a card through a recipe and a folder of cards: (samples, held-out rows, quarantine rows, count)."""
    cards = folder / "cards"
    cards.mkdir(exist_ok=True)
    document = json.loads(card.model_dump_json(exclude_defaults=True))
    (cards / "mine.yaml").write_text(yaml.safe_dump(document))
    recipe = {"name": "t", "seed": seed, "data": {"cards": "cards", "sources": [{"name": "mine", **use}]}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    out = str(folder / "out")
    manifest = source_samples(str(folder / "recipe.yaml"), "", "mine", out)
    attached = {
        name: pq.read_table(io.BytesIO(read_attachment(out, manifest, name))).to_pylist()
        for name in ("heldout", "quarantine")
    }
    (count,) = manifest.counts
    assert count.rows_in == count.rows_out + sum(count.dropped.values())
    assert sum(count.dropped.values()) == sum(row["split"] == "train" for row in attached["quarantine"])
    return list(read_samples(out, manifest)), attached["heldout"], attached["quarantine"], count
