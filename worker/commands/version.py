"""``budget-bridge --version``: prints the version."""

from importlib.metadata import PackageNotFoundError, version

import typer

from worker.console import Console


def print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    """Print the version and end the command, if ``--version`` was given."""
    if wanted:
        Console().print_line(f"budget-bridge {read_version()}")
        raise typer.Exit


def read_version() -> str:
    """Read the version of the installed distribution."""
    try:
        return version("budget-bridge")
    except PackageNotFoundError:
        return "(a checkout that is not installed)"
