"""How a command speaks to people: results on stdout, one message for an expected error on stderr."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from data.errors import AerieError


@contextmanager
def for_people(interrupted: str = "Interrupted.") -> Iterator[Console]:
    """A console on the real stdout; a user's mistake or an unwritable file becomes one message and exit code 2."""
    console = Console(file=sys.stdout, soft_wrap=True)
    problems = Console(file=sys.stderr, soft_wrap=True, markup=False, highlight=False)
    try:
        yield console
    except AerieError as error:
        problems.print(f"Error: {error}")
        raise typer.Exit(2) from None
    except OSError as error:
        # The system's words name the path and the reason.
        problems.print(f"Error: {error.strerror}: {error.filename}" if error.filename else f"Error: {error}")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        problems.print(interrupted)
        raise typer.Exit(130) from None
