"""A checkpoint answers benchmarks: a prediction set for each whose data are there."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast, get_args

import torch

from data.errors import AerieError
from data.files import exists, join
from data.progress import Progress
from data.storage import fingerprint, manifest_uri, read_manifest
from model.chat_files import checkpoint_folder, find_tokenizer, open_checkpoint
from model.checkpoint_files import CONFIG_FILE, file_hashes, local_copy
from model.evaluation.benchmark_data import card_identity, chosen, lacking
from model.evaluation.benchmarks.cards import WORDING, BenchmarkCard
from model.evaluation.benchmarks.places import located
from model.evaluation.benchmarks.reading import questions as read_questions
from model.evaluation.predict import Answerer, Precision
from model.evaluation.prediction_store import SetSettings, questions_hash, store_predictions
from model.evaluation.predictions import Prediction, predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """How benchmarks are answered: greedy, by the card's wording of this name.

    `batch_size` only sets the speed; `precision` (`bf16`, `fp32`) is a GPU's, a CPU computes in float32.
    """

    max_new_tokens: int = 1024
    batch_size: int = 64
    precision: str = "bf16"
    wording: str = WORDING

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise AerieError(f"unknown precision {self.precision!r}; choose from {', '.join(get_args(Precision))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    """A benchmark that wasn't asked, and why."""

    benchmark: str
    why: str


def evaluate_benchmarks(
    checkpoint: str, tokenizer: str, names: Sequence[str], data: str, out: str, options: AnswerOptions
) -> tuple[list[str], list[NotRun]]:
    """Answer the named benchmarks (without names: all) into OUT/NAME; gives the sets' folders and what wasn't run.

    Places are those of `model.chat_files.open_checkpoint`. A set that is there already is kept, a half one finished;
    the network is loaded only when something is left to ask. `AerieError`: no data for any of the benchmarks, a set of
    another checkpoint or of other settings, what `open_checkpoint` refuses.
    """
    cards = [(card, located(card, data)) for card in chosen(names)]
    not_run = [NotRun(benchmark=card.name, why=f"no data: {lacking(card)}") for card, place in cards if place is None]
    if len(not_run) == len(cards):
        told = "; ".join(f"{one.benchmark}: {one.why}" for one in not_run[:3])
        raise AerieError(f"{data} holds the data of none of the {len(cards)} benchmarks ({told})")
    folder = checkpoint_folder(checkpoint)
    common = {
        "checkpoint": checkpoint_hash(folder),
        "tokenizer": hashlib.sha256(find_tokenizer(folder, tokenizer).to_json().encode()).hexdigest(),
        "generation": generation(options),
    }
    answerer = cache(lambda: _answerer(folder, tokenizer, options))
    sets = [
        _answered(card, place, join(out, card.name), options, common, answerer)
        for card, place in cards
        if place is not None
    ]
    return sets, not_run


def _answered(
    card: BenchmarkCard,
    place: Any,
    folder: str,
    options: AnswerOptions,
    common: dict[str, Any],
    answerer: Callable[[], Answerer],
) -> str:
    questions = list(read_questions(card, place, options.wording))
    settings = SetSettings(
        benchmark=card.name,
        card=card_identity(card, options.wording),
        questions=len(questions),
        questions_sha256=questions_hash(questions),
        **common,
    )

    def ask(first: int, last: int, progress: Progress) -> list[Prediction]:
        asked = questions[first:last]
        outputs = answerer().answers(asked, blind=False, within=progress)
        pairs = zip(asked, outputs, strict=True)
        return [predicted(question, text, checkpoint=settings.checkpoint) for question, text in pairs]

    store_predictions(folder, settings, questions, ask)
    return folder


def _answerer(folder: str, tokenizer: str, options: AnswerOptions) -> Answerer:
    loaded = open_checkpoint(folder, tokenizer)
    return Answerer(
        loaded.model.float(),  # whatever its files hold, as in a run
        loaded.tokenizer,
        batch_size=options.batch_size,
        max_new_tokens=options.max_new_tokens,
        precision=cast(Precision, options.precision),
    )


def generation(options: AnswerOptions) -> dict[str, Any]:
    """How answers come about, as far as they depend on it."""
    on_gpu = torch.cuda.is_available()
    return {
        "decoding": "greedy",
        "max_new_tokens": options.max_new_tokens,
        "dtype": "bfloat16" if on_gpu and options.precision == "bf16" else "float32",
        "device": "cuda" if on_gpu else "cpu",
        "torch": torch.__version__,
    }


def checkpoint_hash(folder: str) -> str:
    """The hash of a checkpoint's manifest; of its config and weights where no step committed it."""
    if exists(manifest_uri(folder)):
        return read_manifest(folder).sha256()
    with local_copy(folder) as local:
        hashes = file_hashes(local)
    return fingerprint(**{name: hashes[name] for name in hashes if name == CONFIG_FILE or _is_weights(name)})


def _is_weights(name: str) -> bool:
    return "/" not in name and name.endswith(".safetensors")
