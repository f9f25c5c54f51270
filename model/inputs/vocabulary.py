"""The tokenizer step: a BPE of the run's own training text, or the published tokenizer that the recipe names."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from data.errors import AerieError
from data.files import exists, join, read_bytes
from data.ledger import Tally
from data.progress import Progress
from data.recipe import beside_recipe
from data.schema import IMAGE_PLACEHOLDER, Sample
from data.storage import Manifest, attach, commit, committed, fingerprint, read_manifest, read_samples
from model.inputs.qwen_vocabulary import qwen_tokenizer
from model.inputs.tokens import ChatTokenizer, parse_tokenizer, train_bpe, with_special_tokens
from model.recipe import Recipe, load_recipe

VERSION = 1


def train_tokenizer(recipe_uri: str, recipe_sha256: str, formatting_uri: str, out_uri: str) -> Manifest:
    """The run's tokenizer: a BPE of the formatted training text, or the published one that the recipe names.

    Held-out text is an attachment of formatting and is never read here. Attachments: `tokenizer` (tokenizer.json),
    `report` (JSON). The manifest's rows are the samples that were read.
    """
    recipe, formatting = load_recipe(recipe_uri, recipe_sha256), read_manifest(formatting_uri)
    published = _published(recipe, recipe_uri)
    mark = fingerprint(
        step="tokenizer",
        version=VERSION,
        vocab_size=recipe.model.tokenizer.vocab_size,
        published=hashlib.sha256(published[0]).hexdigest() if published else "",
        system_prompt=recipe.model.system_prompt,
        inputs=[formatting.sha256()],
    )
    if (done := committed(out_uri, mark)) is not None:
        return done
    if published is None:
        tokenizer = train_bpe(_training_texts(recipe, formatting_uri, formatting), recipe.model.tokenizer.vocab_size)
    else:
        parse = qwen_tokenizer if published[1].endswith(".tiktoken") else parse_tokenizer
        tokenizer = with_special_tokens(parse(*published))
    tally, report = _measured(ChatTokenizer(tokenizer), recipe, formatting_uri, formatting)
    return commit(
        out_uri,
        Manifest(
            step="tokenizer",
            fingerprint=mark,
            recipe_sha256=recipe.sha256,
            rows=formatting.rows,
            shards=(),
            counts=tally.counts(),
            lineage={"formatting": formatting.sha256()},
            attachments={
                "tokenizer": attach(out_uri, "tokenizer.json", tokenizer.to_str(pretty=True).encode()),
                "report": attach(out_uri, "report.json", json.dumps(report, indent=1).encode()),
            },
        ),
    )


def _published(recipe: Recipe, recipe_uri: str) -> tuple[bytes, str] | None:
    """(bytes, URI) of the tokenizer.json or qwen.tiktoken that the recipe names; a relative path counts from it."""
    path = recipe.model.tokenizer.path
    if path is None:
        return None
    uri = beside_recipe(path, recipe_uri)
    uri = uri if uri.endswith((".json", ".tiktoken")) else join(uri, "tokenizer.json")
    if not exists(uri):
        raise AerieError(
            f"model.tokenizer.path: no file {uri}; name a tokenizer.json, a folder that holds one, or a qwen.tiktoken"
        )
    return read_bytes(uri), uri


def _training_texts(recipe: Recipe, uri: str, formatting: Manifest) -> Iterator[str]:
    """All text of the training set, read as it is wanted: BPE training keeps the words' counts, not the texts."""
    progress = Progress("tokenizer, training", formatting.rows)
    for sample in read_samples(uri, formatting):
        yield from _texts(sample, recipe.model.system_prompt)
        progress.update()
    progress.close()


def _texts(sample: Sample, system_prompt: str) -> Iterator[str]:
    """The pieces of text that encoding will cut, once per use, so that frequent pieces become single tokens."""
    yield f"system\n{system_prompt}"
    for turn in sample.conversations:
        text = turn.content.replace(IMAGE_PLACEHOLDER, "")
        yield f"user\n{text}" if turn.role == "user" else text
        if turn.role == "assistant":
            yield "assistant\n"


def _measured(tokenizer: ChatTokenizer, recipe: Recipe, uri: str, formatting: Manifest) -> tuple[Tally, dict[str, Any]]:
    """The samples that were read, and vocabulary and compression over their texts."""
    tally, progress = Tally("tokenizer"), Progress("tokenizer", formatting.rows)
    texts = characters = tokens = 0
    for count in formatting.counts:
        tally.take(count.source, 0)
    for sample in read_samples(uri, formatting):
        tally.take(sample.source)
        tally.keep(sample.source)
        for text in _texts(sample, recipe.model.system_prompt):
            texts, characters, tokens = texts + 1, characters + len(text), tokens + len(tokenizer.encode(text))
        progress.update()
    progress.close()
    return tally, {
        "vocab_size": tokenizer.vocab_size,
        "texts": texts,
        "characters": characters,
        "tokens": tokens,
        "characters_per_token": characters / tokens if tokens else 0.0,
    }
