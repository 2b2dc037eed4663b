"""``budget-bridge release``: ends a hold."""

from typing import Annotated, Literal

import typer

from worker.commands.arguments import Key
from worker.commands.operator_command import By, Why, find_current_version, send_and_report
from worker.operator_messages import make_release


def release(
    key: Key,
    by: By,
    why: Why,
    action: Annotated[
        Literal["retry", "skip"], typer.Option(help="Decide all held messages, or all but the first.")
    ] = "retry",
) -> None:
    """End the hold of a budget: its held messages are decided in order."""
    send_and_report(key, lambda budget, record: make_release(budget, find_current_version(record), by, why, action))
