"""Many requests to a checkpoint: a window of them encoded at a time, batches of like length, results in their order."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from data.errors import AerieError
from data.progress import Progress
from model.checkpoint import Checkpoint
from model.generation import generate
from model.hf.messages import Conversation
from model.inputs.batch import EncodedSample
from model.inputs.tokens import END_OF_TEXT
from model.likelihood import Likelihood, continuation_likelihoods
from model.lmms_eval.messages import encode_chat
from model.lmms_eval.options import Options

Item = TypeVar("Item")
BATCHES_PER_WINDOW = 16  # bounds the decoded images held at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question that waits: `name` is for messages, `conversation` reads its images only when it is called."""

    name: str
    conversation: Callable[[], Conversation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the network wrote, and how many tokens it read (images included) and wrote."""

    text: str
    read_tokens: int
    written_tokens: int


@dataclass(frozen=True, slots=True)
class _Prompt:
    place: int
    encoded: EncodedSample
    room: int  # tokens that the network's positions still hold after it


def answer_all(
    checkpoint: Checkpoint, asked: Sequence[Asked], options: Sequence[Options], *, batch_size: int, label: str = ""
) -> list[Answer]:
    """The answer to each question by its own options, in the order asked; `label` begins the progress lines, if any.

    An answer ends early where the network's positions do. AerieError names the question that can't be asked.
    """
    groups: defaultdict[Options, list[int]] = defaultdict(list)
    for place, option in enumerate(options):
        groups[option].append(place)
    found: dict[int, Answer] = {}
    progress = Progress(label, len(asked), "questions") if label else None
    for option, places in groups.items():
        for batch in _batches(checkpoint, asked, places, batch_size):
            answers = _answered(checkpoint, batch, option)
            found.update(zip((prompt.place for prompt in batch), answers, strict=True))
            if progress:
                progress.update(len(batch))
    if progress:
        progress.close()
    return [found[place] for place in range(len(asked))]


def likelihoods(
    checkpoint: Checkpoint, asked: Sequence[Asked], continuations: Sequence[str], *, batch_size: int
) -> list[Likelihood]:
    """How likely each text is as the whole beginning of the answer to its question, in the order asked.

    White space before it is no part of it: in a chat the answer begins a turn. AerieError names what can't be asked.
    """
    ids = [checkpoint.tokenizer.encode_markup(text.lstrip()) for text in continuations]
    found: dict[int, Likelihood] = {}
    for batch in _batches(checkpoint, asked, range(len(asked)), batch_size):
        for prompt in batch:
            if len(ids[prompt.place]) > prompt.room:
                raise AerieError(f"{asked[prompt.place].name}: its continuation is longer than the network's positions")
        prompts, texts = [prompt.encoded for prompt in batch], [ids[prompt.place] for prompt in batch]
        scores = continuation_likelihoods(checkpoint.model, prompts, texts)
        found.update(zip((prompt.place for prompt in batch), scores, strict=True))
    return [found[place] for place in range(len(asked))]


def _batches(
    checkpoint: Checkpoint, asked: Sequence[Asked], places: Sequence[int], batch_size: int
) -> Iterator[list[_Prompt]]:
    """The encoded questions at these places, sorted by length within windows."""
    for window in _chunks(places, batch_size * BATCHES_PER_WINDOW):
        prompts = [_encoded(checkpoint, asked[place], place) for place in window]
        prompts.sort(key=lambda prompt: (len(prompt.encoded.input_ids), prompt.place))
        yield from (list(batch) for batch in _chunks(prompts, batch_size))


def _encoded(checkpoint: Checkpoint, asked: Asked, place: int) -> _Prompt:
    most = checkpoint.model.settings.language.max_positions
    try:
        encoded = encode_chat(asked.conversation(), checkpoint)
        if len(encoded.input_ids) >= most:
            raise AerieError(f"it has {len(encoded.input_ids)} tokens, but the network knows {most} positions")
    except AerieError as error:
        raise AerieError(f"{asked.name} can't be asked: {error}") from error
    return _Prompt(place, encoded, most - len(encoded.input_ids))


def _answered(checkpoint: Checkpoint, batch: Sequence[_Prompt], options: Options) -> list[Answer]:
    """Each row keeps what fits its own positions, whatever its neighbours had room for."""
    tokenizer = checkpoint.tokenizer
    limits = [min(options.max_new_tokens, prompt.room) for prompt in batch]
    rows = generate(
        checkpoint.model,
        [prompt.encoded for prompt in batch],
        end_ids=(tokenizer.im_end_id, tokenizer.token_id(END_OF_TEXT)),
        max_new_tokens=max(limits),
        sampling=options.sampling,
    )
    return [
        Answer(
            text=options.cut(tokenizer.decode(row[:limit])),
            read_tokens=len(prompt.encoded.input_ids),
            written_tokens=len(row[:limit]),
        )
        for row, limit, prompt in zip(rows, limits, batch, strict=True)
    ]


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
