"""The `aerie sources` commands: list, show and check the source cards."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from data.errors import AerieError
from pipelines.people import for_people

sources = typer.Typer(no_args_is_help=True, help="The catalogue of data sources: one card each.")
FAILED, UNKNOWN, OFFLINE = 1, 3, 4

CardsOption = Annotated[str, typer.Option("--cards", help="Folder of your own cards, besides the built-in ones.")]


@sources.command(name="list")
def list_command(
    category: Annotated[str, typer.Option("--category", help="Only this category, for example chart_table.")] = "",
    stage: Annotated[str, typer.Option("--stage", help="Only this stage: stage_1, stage_1_5 or stage_2.")] = "",
    status: Annotated[str, typer.Option("--status", help="Only verified, unverified or internal cards.")] = "",
    cards: CardsOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the cards as JSON.")] = False,
) -> None:
    """List the source cards, by category.

    A card without stages belongs to every stage: the recipe decides.
    """
    with for_people() as console:
        from data.registry.cards import load_cards
        from data.registry.catalogue import Choice, chosen, document
        from pipelines.sources_view import show_cards

        found = chosen(load_cards(cards or None), Choice(category=category, stage=stage, status=status))
        if as_json:
            _print_json([document(card) for card in found])
        else:
            show_cards(found, console)


@sources.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a source.", show_default=False)],
    cards: CardsOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Show one card, and what it lacks to become verified."""
    with for_people() as console:
        from data.registry.cards import load_cards, named_card
        from data.registry.catalogue import document
        from pipelines.sources_view import show_card

        card = named_card(load_cards(cards or None), name)
        if as_json:
            _print_json(document(card))
        else:
            show_card(card, console)


@sources.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Names of sources.")] = None,
    all_verified: Annotated[bool, typer.Option("--all-verified", help="Check every verified card.")] = False,
    rows: Annotated[int, typer.Option("--rows", min=1, max=1000, help="How many first rows to read.")] = 5,
    max_mib: Annotated[int, typer.Option("--max-mib", min=1, help="Fetch no more of one source than this.")] = 256,
    cards: CardsOption = "",
) -> None:
    """Read the first rows of sources and check place, version, licence, rows and images.

    Exit code 0: all is ok, 1: something failed, 3: nothing failed, but something
    couldn't be found out, 4: a server couldn't be reached, so its source wasn't
    checked at all.
    """
    with for_people() as console:
        from data.registry.cards import load_cards, named_card
        from data.registry.checking import check_source
        from pipelines.sources_view import show_check, show_verdict

        known = load_cards(cards or None)
        wanted = list(dict.fromkeys(names or []))
        if all_verified:
            wanted += [name for name, card in known.items() if card.status == "verified" and name not in wanted]
        if not wanted:
            raise AerieError("name the sources to check, or give --all-verified")
        chosen = [named_card(known, name) for name in wanted]
        checks = []
        for card in chosen:
            checks.append(check_source(card, rows, max_mib))
            show_check(checks[-1], console)
        show_verdict(checks, console)
    outcomes = {found.outcome for found in checks}
    if "failed" in outcomes:
        raise typer.Exit(FAILED)
    if any(found.offline for found in checks):
        raise typer.Exit(OFFLINE)
    if "unknown" in outcomes:
        raise typer.Exit(UNKNOWN)


def _print_json(value: object) -> None:
    plain = Console(file=sys.stdout, soft_wrap=True, markup=False, highlight=False)
    plain.print(json.dumps(value, indent=2, ensure_ascii=False))
