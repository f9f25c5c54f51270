"""A published checkpoint becomes one of ours: same tensors under our names, and the rest kept to be written back."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from data.errors import AerieError
from data.files import join, write_bytes
from model.checkpoint import EMBEDDING, HEAD, TOKENIZER_FILE, config_bytes, empty_network, weight_shapes
from model.checkpoint_files import CONFIG_FILE, PUBLISHED_FOLDER, local_copy, read_json, refuse_existing, staged
from model.inputs.tokens import ChatTokenizer, parse_tokenizer
from model.published.keys import KeyRules, key_rules
from model.published.layouts import SMALL_FILES, PublishedFolder, layout_of, read_config
from model.published.parts import NetworkShape
from model.published.report import TIED, KeyReport, UnexplainedKeysError, key_report
from model.published.tokenizer_files import read_published_tokenizer
from model.tensor_files import MAX_SHARD_BYTES, TensorReader, open_tensors, write_tensors

REPORT_FILE, UNUSED_FILE, LAYOUT_FILE = "import_report.json", "unused.safetensors", "layout.json"


def import_published(path: str, out: str, *, max_shard_bytes: int = MAX_SHARD_BYTES) -> KeyReport:
    """Read a published checkpoint folder and write one of ours; either may be local or s3://.

    Every tensor must be explained, else `UnexplainedKeysError` and no checkpoint; OUT/import_report.json lists all
    either way. Tensors keep their precision; at most one shard is held in memory. What the network doesn't use
    (unused heads, the config, processor files) is kept in OUT/published, and an export writes it back.
    """
    refuse_existing(out)
    with local_copy(path) as folder:
        where = join(path, CONFIG_FILE)
        document = read_json(join(folder, CONFIG_FILE))
        layout = layout_of(document, where)
        tokenizer_json = read_published_tokenizer(folder)
        tokenizer = ChatTokenizer(parse_tokenizer(tokenizer_json, path))
        with open_tensors(folder) as reader:
            published = PublishedFolder(
                folder=folder, where=where, document=document, headers=reader.headers, tokenizer=tokenizer
            )
            shape = read_config(layout, published)
            if tokenizer.vocab_size > shape.vocab_size:
                raise AerieError(
                    f"{path}: {tokenizer.vocab_size} tokens, but the embedding has {shape.vocab_size} rows"
                )
            model = empty_network(shape.settings, shape.vocab_size, tokenizer.image_context_id)
            rules, tied = key_rules(shape.towers), shape.settings.language.tie_embeddings
            report = key_report(layout, rules, reader.headers, weight_shapes(model), tied=tied)
            write_bytes(join(out, REPORT_FILE), report.to_json().encode())
            if not report.explained:
                problem = (
                    f"{path} doesn't fit the {layout} layout: {report.problem()} (all in {join(out, REPORT_FILE)})"
                )
                raise UnexplainedKeysError(problem, report)
            _check_tied_head(report, reader, rules, path)
            with staged(out) as staging:
                _write_weights(staging, reader, rules, report, max_shard_bytes)
                _write_kept(Path(staging, PUBLISHED_FOLDER), published, shape, reader, report)
                Path(staging, CONFIG_FILE).write_bytes(config_bytes(model))
                Path(staging, TOKENIZER_FILE).write_bytes(tokenizer_json)
    return report


def _write_weights(
    staging: str, reader: TensorReader, rules: KeyRules, report: KeyReport, max_shard_bytes: int
) -> None:
    names = {ours: name for name in report.loaded if (ours := rules.to_ours(name)) is not None}
    headers = {ours: reader.headers[name] for ours, name in names.items()}
    write_tensors(staging, headers, lambda ours: reader.load(names[ours]), max_shard_bytes=max_shard_bytes)


def _write_kept(
    kept: Path, published: PublishedFolder, shape: NetworkShape, reader: TensorReader, report: KeyReport
) -> None:
    """What an export to the same layout writes back."""
    kept.mkdir()
    unused = [name for name, reason in report.ignored.items() if reason != TIED]
    if unused:
        save_file({name: reader.load(name) for name in unused}, kept / UNUSED_FILE, metadata={"format": "pt"})
    (kept / CONFIG_FILE).write_text(json.dumps(published.document, indent=1))
    facts = {
        "layout": report.layout,
        "towers": shape.towers,
        "stores_tied_head": TIED in report.ignored.values(),
        "settings": shape.settings.model_dump(mode="json"),
        "vocab_size": shape.vocab_size,
    }
    (kept / LAYOUT_FILE).write_text(json.dumps(facts, indent=1))
    for name in SMALL_FILES:
        if (source := Path(published.folder, name)).is_file():
            (kept / name).write_bytes(source.read_bytes())


def _check_tied_head(report: KeyReport, reader: TensorReader, rules: KeyRules, path: str) -> None:
    """A stored head of a network with tied embeddings must be the embedding, else one of the two would be lost."""
    head, embedding = rules.to_theirs(HEAD), rules.to_theirs(EMBEDDING)
    if head in report.ignored and not torch.equal(reader.load(head), reader.load(embedding)):
        raise AerieError(f"{path}: the config ties {head} to {embedding}, but the two differ: which one counts?")
