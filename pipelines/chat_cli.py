"""The `aerie chat` command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from data.errors import AerieError
from pipelines.local_run import storage_root
from pipelines.options import Checkpoint, LocalStorage, Tokenizer
from pipelines.people import for_people

chat_app = typer.Typer()


@chat_app.command()
def chat(
    checkpoint: Checkpoint,
    question: Annotated[
        str | None, typer.Argument(metavar="[QUESTION]", help="Without one, questions are read until the end of input.")
    ] = None,
    images: Annotated[
        list[str] | None, typer.Option("--image", metavar="FILE", help="A picture; repeat for several.")
    ] = None,
    tokenizer: Tokenizer = "",
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest answer.")] = 256,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0, help="0: always the most likely token; 1: as the network says.")
    ] = 0.0,
    top_p: Annotated[
        float,
        typer.Option("--top-p", min=0.0001, max=1, help="Draw from the likeliest tokens of this total probability."),
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Equal seeds draw equal answers.")] = 0,
    storage: LocalStorage = "artifacts",
) -> None:
    """Ask a trained checkpoint about pictures.

    The question says where its pictures stand by <image>; without that they come first. Later questions of a
    conversation are about the same pictures.
    """
    with for_people():
        if question is not None and not question.strip():
            raise AerieError(
                'the question is empty; write it after the checkpoint: aerie chat CHECKPOINT "What is this?"'
            )

        from model.chat import Chat, ChatOptions
        from model.chat_files import open_checkpoint

        options = ChatOptions(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
        opened = open_checkpoint(checkpoint_place(checkpoint, storage), tokenizer)
        conversation = Chat(opened, images or [], options)
        for text in [question] if question is not None else _questions():
            conversation.ask(text, _write)
            typer.echo()


def checkpoint_place(checkpoint: str, storage: str) -> str:
    """A bare name that is no folder here is a run's."""
    bare = "/" not in checkpoint and not Path(checkpoint).exists()
    return f"{storage_root(storage)}/{checkpoint}" if bare else checkpoint


def _questions():
    """The user's lines; empty ones ask nothing."""
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(prompt)
        except EOFError:
            return
        if line.strip():
            yield line


def _write(text: str) -> None:
    """A piece of the answer, at once; on a terminal without control characters, which could steer it."""
    if sys.stdout.isatty():
        text = "".join(character for character in text if character.isprintable() or character in "\n\t")
    sys.stdout.write(text)
    sys.stdout.flush()
