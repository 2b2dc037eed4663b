"""``budget-bridge acknowledge``: acknowledges an export in Spectrum's place."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from contracts.budget_key import BudgetKey
from contracts.fields import write_time
from outbox.budget_record import BudgetRecord
from worker.commands.arguments import Key, Yes
from worker.commands.operator_command import By, Why, confirm, send_and_report
from worker.commands.problems import refuse
from worker.console import Console
from worker.operator_messages import OperatorMessage, make_acknowledgement


def acknowledge(
    key: Key,
    by: By,
    why: Why,
    status: Annotated[
        Literal["success", "failed"],
        typer.Option(help="success: Spectrum has every line; failed: Spectrum applied nothing."),
    ],
    *,
    yes: Yes = False,
) -> None:
    """Acknowledge an export in Spectrum's place when Spectrum applied or refused it but never answered."""

    def write(budget: BudgetKey, record: BudgetRecord) -> OperatorMessage:
        current = record.status
        if current is None or current.export_id is None:
            refuse(f"the current version of budget {budget} has no export that could be acknowledged")
        Console().print_line(
            f"Version {current.budget_version}, attempt {current.attempt}, export {current.export_id}: {status}."
        )
        confirm("Have you checked Spectrum, and is this true?", yes=yes)
        now = write_time(datetime.now(UTC))  # noqa: TID251 - when a person acknowledged it
        return make_acknowledgement(current, by, why, status, now)

    send_and_report(key, write)
