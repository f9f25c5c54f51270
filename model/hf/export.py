"""A checkpoint in transformers' own format."""

import tempfile
from pathlib import Path

from transformers import GenerationConfig
from transformers.utils import logging

from data.files import is_s3, join, write_bytes
from model.checkpoint import Checkpoint
from model.hf import AerieForConditionalGeneration, AerieProcessor
from model.inputs.tokens import END_OF_TEXT

MAX_SHARD_SIZE = "5GB"


def save_hf(checkpoint: Checkpoint, folder: str, max_shard_size: str = MAX_SHARD_SIZE) -> list[str]:
    """Write what the Auto classes of `model.hf` load, into a local folder or s3:// prefix; returns the files' names.

    The weights keep their precision; a tied output head is stored once. A network above `max_shard_size` is written as
    shards with an index.
    """
    if is_s3(folder):
        with tempfile.TemporaryDirectory() as scratch:
            names = save_hf(checkpoint, scratch, max_shard_size)
            for name in names:
                write_bytes(join(folder, name), (Path(scratch) / name).read_bytes())
        return names
    tokenizer, shell = checkpoint.tokenizer, AerieForConditionalGeneration.of(checkpoint.model)
    shell.generation_config = GenerationConfig(
        eos_token_id=tokenizer.im_end_id, pad_token_id=tokenizer.token_id(END_OF_TEXT), do_sample=False
    )
    logging.disable_progress_bar()  # the caller tells what is written
    shell.save_pretrained(folder, max_shard_size=max_shard_size)
    AerieProcessor.of(tokenizer, checkpoint.model.settings).save_pretrained(folder)
    return sorted(path.name for path in Path(folder).iterdir() if path.is_file())
