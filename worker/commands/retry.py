"""``budget-bridge retry``: sends an export again."""

from datetime import datetime
from typing import Annotated

import typer

from worker.commands.arguments import Key
from worker.commands.operator_command import By, Why, find_current_version, send_and_report
from worker.operator_messages import make_retry


def retry(
    key: Key,
    by: By,
    why: Why,
    effective_date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The date to book under; without it, the one given before."),
    ] = None,
) -> None:
    """Send the last export of a budget again after it failed or was not acknowledged in time."""
    date = effective_date.date() if effective_date else None
    send_and_report(key, lambda budget, record: make_retry(budget, find_current_version(record), by, why, date))
