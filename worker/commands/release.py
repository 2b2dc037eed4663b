"""``budget-bridge release``: ends a hold."""

from typing import Annotated, Literal

import typer

from contracts.budget_key import BudgetKey
from contracts.fields import write_time
from handlers.decision import Verdict
from outbox.budget_record import BudgetRecord
from worker.commands.arguments import Key, Yes
from worker.commands.operator_command import By, Why, confirm, find_current_version, send_and_report
from worker.commands.problems import refuse
from worker.console import Console
from worker.operator_messages import OperatorMessage, make_release


def release(
    key: Key,
    by: By,
    why: Why,
    action: Annotated[
        Literal["retry", "skip"], typer.Option(help="Decide all held messages, or all but the first.")
    ] = "retry",
    *,
    yes: Yes = False,
) -> None:
    """End the hold of a budget: its held messages are decided in order."""

    def write(budget: BudgetKey, record: BudgetRecord) -> OperatorMessage:
        if action == "skip":
            _confirm_skip(record, yes=yes)
        return make_release(budget, find_current_version(record), by, why, action)

    send_and_report(key, write)


def _confirm_skip(record: BudgetRecord, *, yes: bool) -> None:
    """Show the message that is left out, and ask; end the command with exit code 1 if there is none."""
    held = [row for row in record.history if row.verdict == Verdict.HELD]
    if not held:
        refuse(f"no message of budget {record.key} is held, so there is none to skip: leave `--action skip` out")
    first, console = held[0], Console()
    version = f" of version {first.budget_version}" if first.budget_version else ""
    console.print_line(f"{first.type}{version}, received at {write_time(first.at)}, is left out for good:")
    console.print_line(f"  source {first.source}")
    console.print_line(f"  id {first.id}")
    console.print_line(f"Held messages behind it, which are decided: {len(held) - 1}")
    confirm("Is this the one to leave out?", yes=yes)
