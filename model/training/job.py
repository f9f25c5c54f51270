"""What a training process is told: the stage and where its inputs and its output lie."""

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from data.files import join
from data.storage import MANIFEST_NAME

FINISHED_NAME = "finished.json"  # written last by the workers: the result's files and their hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """One stage to train; travels from `train_stage` to torchrun's workers as command-line arguments.

    `parent_uri` is the folder of the stage to start from, empty for a fresh network. `fingerprint` names everything
    that determines the result: only checkpoints that carry it are resumed from.
    """

    stage: str
    recipe_uri: str
    recipe_sha256: str
    packing_uri: str
    formatting_uri: str
    tokenizer_uri: str
    parent_uri: str
    out_uri: str
    fingerprint: str

    @property
    def checkpoints_uri(self) -> str:
        """The folder of the stage's checkpoints."""
        return join(self.out_uri, "checkpoints")

    def arguments(self) -> list[str]:
        """The command line that `parse` reads."""
        fields = (field.name for field in dataclasses.fields(self) if field.name != "stage")
        return [self.stage, *(f"--{name.replace('_', '-')}={getattr(self, name)}" for name in fields)]


def parse(arguments: Sequence[str] | None = None) -> tuple[TrainingJob, bool]:
    """The job of a command line, and whether the process shall end when its standard input closes.

    `--data` may also name the manifest in the packs' folder. Where formatting and tokenizer aren't told, they are those
    of the run that the packs lie in, RUN/packing/STAGE (a manifest's lineage has hashes, which the loader checks, and
    no places).
    """
    parser = argparse.ArgumentParser(
        prog="python -m model.training", description="Train one stage; run it under torchrun."
    )
    parser.add_argument("stage", help="stage_1, stage_1_5 or stage_2")
    parser.add_argument("--recipe-uri", "--recipe", required=True, help="recipe file")
    parser.add_argument("--packing-uri", "--data", required=True, help="folder of the stage's packs, or its manifest")
    parser.add_argument("--out-uri", "--out", required=True, help="output folder")
    optional = {"formatting_uri": "folder of the formatted samples; else RUN/formatting"}
    optional |= {"tokenizer_uri": "folder of the tokenizer; else RUN/tokenizer"}
    optional |= {"recipe_sha256": "expected hash of the recipe"}
    optional |= {"fingerprint": "identity of the result; checkpoints of another are not resumed; else it is worked out"}
    for name, text in optional.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default="", help=text)
    parser.add_argument("--parent-uri", "--parent", default="", help="folder of the stage to start from; else afresh")
    parser.add_argument("--watch-stdin", action="store_true", help="end when the standard input closes")
    values = vars(parser.parse_args(arguments))
    watch = values.pop("watch_stdin")
    values["packing_uri"] = values["packing_uri"].removesuffix(f"/{MANIFEST_NAME}").rstrip("/")
    run = values["packing_uri"].removesuffix(f"/packing/{values['stage']}")
    for name in ("formatting", "tokenizer"):
        if run == values["packing_uri"] and not values[f"{name}_uri"]:
            parser.error(f"{values['packing_uri']} isn't RUN/packing/{values['stage']}: add --{name}-uri")
        values[f"{name}_uri"] = values[f"{name}_uri"] or join(run, name)
    return TrainingJob(**values), watch
