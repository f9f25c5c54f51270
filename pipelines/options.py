"""Arguments and options that several commands of `aerie` share."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Checkpoint = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="Folder of a checkpoint or of a run, or a run's name.")
]
LocalStorage = Annotated[str, typer.Option("--storage", help="Folder that holds all runs.")]
Storage = Annotated[str, typer.Option("--storage", help="Folder (or s3:// prefix) that holds all runs.")]
Tokenizer = Annotated[
    str, typer.Option("--tokenizer", help="tokenizer.json or its folder, where the checkpoint has none.")
]
