"""The `aerie plan` command."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.people import for_people

planning = typer.Typer()
RECIPE = Path(__file__).parent / "recipes" / "tiny.yaml"


@planning.command()
def plan(
    recipe: Annotated[Path, typer.Argument(help="Recipe file (YAML).")] = RECIPE,
    gpus: Annotated[
        int | None, typer.Option("--gpus", metavar="N", help="GPUs of every stage [default: the recipe's].")
    ] = None,
    gpu: Annotated[str, typer.Option("--gpu", help="Which card: h100, h200, a100, b200, ...")] = "h100",
    samples: Annotated[
        str, typer.Option("--samples", metavar="A,B,C", help="Samples of the three stages [default: by the cards].")
    ] = "",
    tiles: Annotated[float, typer.Option("--tiles", help="Tiles of an average sample.")] = 6,
    text_tokens: Annotated[float, typer.Option("--text-tokens", help="Its tokens besides the image's.")] = 512,
    label_tokens: Annotated[float, typer.Option("--label-tokens", help="Those of them with a loss.")] = 128,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Show what a recipe will build and cost before anything runs: parameters, FLOPs, memory, hours, storage, pods.

    The network is laid out without memory for its weights, so this also works for models that don't fit here. Speeds
    are measured ones, memory is counted; the output says where each number comes from.
    """
    with for_people() as console:
        from model.costs.cost import plan as lay_out
        from model.costs.gpus import gpu as card
        from model.costs.sample_mix import SampleMix
        from model.recipe import load_recipe
        from pipelines.plan_report import document, plan_report
        from pipelines.plan_tables import show_plan
        from pipelines.sample_counts import sample_counts

        mix = SampleMix(tiles=tiles, text_tokens=text_tokens, label_tokens=label_tokens)
        chosen, loaded = card(gpu), load_recipe(str(recipe))
        counts = sample_counts(loaded, str(recipe), samples)
        report = plan_report(loaded, lay_out(loaded, chosen, mix, counts.stages, gpus), counts)
        if as_json:
            plain = Console(file=sys.stdout, soft_wrap=True, markup=False, highlight=False)
            plain.print(json.dumps(document(report), indent=2))
        else:
            show_plan(report, console)
