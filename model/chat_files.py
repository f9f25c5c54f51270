"""Where a chat finds its network and tokenizer: a checkpoint's folder, a run's stage, a whole run, an `hf` export."""

from pathlib import Path
from typing import Any

from transformers import AutoModelForImageTextToText
from transformers.utils import logging

from data.errors import AerieError
from data.files import exists, is_s3, join, read_bytes
from model.checkpoint import (
    RECIPE_FILE,
    TOKENIZER_FILE,
    Checkpoint,
    check_tokenizer,
    load_checkpoint,
    load_model,
    read_tokenizer,
)
from model.checkpoint_files import CONFIG_FILE, read_json
from model.hf import AerieConfig
from model.inputs.tokens import ChatTokenizer, parse_tokenizer
from model.recipe import STAGES
from model.tensor_files import WEIGHTS_FILE
from model.vlm import VisionLanguageModel

TOKENIZER_STEP = "tokenizer"


def open_checkpoint(place: str, tokenizer: str = "") -> Checkpoint:
    """The checkpoint of a folder, local or s3://; of a run's folder the last finished stage.

    `tokenizer` is a tokenizer.json or its folder; without it the file lies in the checkpoint's folder or, for a stage
    of a run from before stages kept it, in the run's tokenizer step. AerieError says which file is missing, damaged or
    doesn't fit.
    """
    folder = checkpoint_folder(place)
    document = read_json(join(folder, CONFIG_FILE))
    kind = document.get("model_type", "")
    if kind != AerieConfig.model_type and "settings" not in document:
        raise AerieError(
            f"{join(folder, CONFIG_FILE)} describes a network of type {kind!r}, not one of ours; a published Eagle 2 "
            "checkpoint is read by aerie import, whose result can be chatted with"
        )
    if kind != AerieConfig.model_type and not tokenizer and exists(join(folder, TOKENIZER_FILE)):
        return load_checkpoint(folder)
    chat_tokenizer = find_tokenizer(folder, tokenizer)  # before the weights, which take longer
    network = _hf_network(folder) if kind == AerieConfig.model_type else load_model(folder)
    check_tokenizer(chat_tokenizer, network, folder, "name the tokenizer that it was trained with by --tokenizer")
    return Checkpoint(network, chat_tokenizer)


def checkpoint_folder(place: str) -> str:
    """The folder itself, or the last finished stage of the run that it is; `AerieError` when it is neither."""
    folder = place.rstrip("/") if is_s3(place) else str(Path(place).expanduser().resolve())
    if exists(join(folder, CONFIG_FILE)):
        return folder
    if not exists(join(folder, RECIPE_FILE)):
        raise AerieError(
            f"{folder} is no checkpoint: no {CONFIG_FILE} there (a checkpoint has {CONFIG_FILE}, {WEIGHTS_FILE} and "
            f"{TOKENIZER_FILE}) and no {RECIPE_FILE}, as a run's folder has"
        )
    for stage in reversed(STAGES):
        if exists(join(folder, stage, CONFIG_FILE)):
            return join(folder, stage)
    raise AerieError(f"the run in {folder} has no trained stage yet; continue it with aerie run --resume {folder}")


def _hf_network(folder: str) -> VisionLanguageModel:
    """The network inside a folder of the Auto classes; every key must be there, and no other."""
    if is_s3(folder):
        raise AerieError(f"transformers reads local folders only; copy {folder} here first")
    logging.disable_progress_bar()
    load: Any = AutoModelForImageTextToText.from_pretrained
    try:
        shell, report = load(folder, output_loading_info=True, local_files_only=True)
    except Exception as error:  # transformers and safetensors raise many kinds on missing and damaged files
        raise AerieError(f"{folder} can't be loaded: {error}") from error
    wrong = {name: sorted(map(str, keys)) for name, keys in report.items() if keys}
    if wrong:
        raise AerieError(f"the weights in {folder} don't fit its {CONFIG_FILE}: {wrong}")
    network: VisionLanguageModel = shell.model
    return network


def find_tokenizer(folder: str, given: str) -> ChatTokenizer:
    """The tokenizer that is given, else the checkpoint's or its run's; `AerieError` when there is none."""
    if given:
        return (
            ChatTokenizer(parse_tokenizer(read_bytes(given), given))
            if given.endswith(".json")
            else read_tokenizer(given)
        )
    run = folder.rpartition("/")[0]
    for place in (folder, join(run, TOKENIZER_STEP)):
        if exists(join(place, TOKENIZER_FILE)):
            return read_tokenizer(place)
    raise AerieError(
        f"{folder} has no {TOKENIZER_FILE}; name the one that it was trained with, for example "
        "--tokenizer RUN/tokenizer"
    )
