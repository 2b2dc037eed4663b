"""``budget-bridge reset``: releases the job of a budget."""

from contracts.budget_key import BudgetKey
from contracts.fields import write_time
from outbox.budget_record import BudgetRecord
from worker.commands.arguments import Key, Yes
from worker.commands.operator_command import By, Why, confirm, find_current_version, send_and_report
from worker.console import Console
from worker.operator_messages import OperatorMessage, make_reset


def reset(key: Key, by: By, why: Why, *, yes: Yes = False) -> None:
    """Release the job of a budget, once you have checked Spectrum: earlier exports no longer count."""

    def write(budget: BudgetKey, record: BudgetRecord) -> OperatorMessage:
        console = Console()
        exports = [sent for sent in record.sent if sent.type in {"spectrum.export.v1", "spectrum.resync.v1"}]
        console.print_line(
            f"Spectrum may hold lines of budget {budget}: {len(exports)} exports or attempts were sent"
            + (f", the last at {write_time(exports[-1].at)}" if exports else "")
            + (f"; those before {write_time(record.pruned_before)} are pruned." if record.pruned_before else ".")
        )
        console.print_line("Check Spectrum first. A reset means that Spectrum will apply no more of these exports, and")
        console.print_line(
            "that what it did apply is cleared by hand or will be overwritten by the next export of this"
        )
        console.print_line("budget to the same job.")
        confirm("Have you checked Spectrum, and is this true?", yes=yes)
        return make_reset(budget, find_current_version(record), by, why)

    send_and_report(key, write)
