"""``budget-bridge --version``: prints the version."""

import typer

from worker.console import Console
from worker.version import read_version


def print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    """Print the version and end the command, if ``--version`` was given."""
    if wanted:
        Console().print_line(f"budget-bridge {read_version()}")
        raise typer.Exit
