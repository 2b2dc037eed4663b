"""Arguments and options that several commands take, and how their texts are read."""

from datetime import timedelta
from typing import Annotated

import typer

from contracts.budget_key import BudgetKey, parse_budget_key
from worker.durations import parse_duration

Key = Annotated[str, typer.Argument(metavar="COMPANY/PROJECT/BUDGET", help="The budget, such as 4211/90071/55210.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def read_key(text: str) -> BudgetKey:
    """Read a budget key from the command line.

    Raises:
        typer.BadParameter: the text is no budget key.
    """
    try:
        return parse_budget_key(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def read_age(text: str) -> timedelta:
    """Read an age such as ``400d`` from the command line.

    Raises:
        typer.BadParameter: the text is no age.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
