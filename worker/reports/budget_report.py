"""The text of ``status KEY`` and its JSON: the status of one budget, messages received, and messages sent."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from contracts.fields import write_time
from contracts.outbound import BudgetError, BudgetStatus, StatusName
from contracts.records import Place
from handlers.budget import Budget, Target
from handlers.ids import write_reference
from outbox.budget_record import BudgetRecord, SentMessage
from worker.console import Console
from worker.reports.import_report import format_import, write_import
from worker.reports.message_locations import Location
from worker.reports.reading_report import format_reading, write_drift, write_read_back, write_reading

MOST_MESSAGES: Final = 20
"""How many of the latest messages received, and of those sent, are shown unless all are wanted."""
_MOST_ERRORS: Final = 20


def write_budget(record: BudgetRecord, locations: Mapping[UUID, Location]) -> dict[str, object]:
    """Write a budget's record as JSON values.

    Args:
        record: the record.
        locations: where messages sent are in Kafka, as far as that is known.
    """
    version = record.budget.version if record.budget else None
    return {
        "budget": record.key._asdict(),
        "status": record.status.model_dump(mode="json") if record.status else None,
        "on_hold": is_on_hold(record),
        "held_total": record.held_total,
        "releasing": bool(record.budget and record.budget.releasing),
        "errors": [error.model_dump(mode="json") for error in version.errors] if version else [],
        "spectrum": _write_spectrum(record),
        "read_back": write_read_back(record.budget),
        "last_reading": write_reading(record.budget),
        "drift": write_drift(record.budget),
        "import": write_import(record.budget),
        "history_total": record.history_total,
        "history": [{**row._asdict(), "at": write_time(row.at)} for row in record.history],
        "sent_total": record.sent_total,
        "sent": [_write_sent(sent, locations.get(sent.id)) for sent in record.sent],
    } | ({"sent_pruned_before": write_time(record.pruned_before)} if record.pruned_before else {})


def is_on_hold(record: BudgetRecord) -> bool:
    """Return whether a budget is on hold, or will be with its next message."""
    return bool(record.budget and record.budget.on_hold) or any(hold.to_come for hold in record.holds)


def find_target(budget: Budget) -> Target | None:
    """Find a budget's job in Spectrum: the one that may hold lines of it, or else the one that is proposed."""
    proposal = budget.version.proposal if budget.version else None
    return budget.spectrum_target or (proposal.target if proposal else None)


def _write_spectrum(record: BudgetRecord) -> dict[str, object] | None:
    """Write what is needed to find a budget in Spectrum: its job, and its last export."""
    if record.budget is None or (target := find_target(record.budget)) is None:
        return None
    export = record.budget.unanswered or record.budget.base
    return {
        "company_code": target.company_code,
        "job_number": target.job_number,
        "currency": target.currency,
        "export_id": str(export.id) if export else None,
        "change_reference": write_reference(export.reference) if export else None,
        "version": export.version if export else None,
        "attempt": export.attempt if export else None,
        "erp_reference": record.budget.erp_reference,
    }


def _write_sent(sent: SentMessage, location: Location | None) -> dict[str, object]:
    partition, offset = (location.partition, location.offset) if isinstance(location, Place) else (None, None)
    return {
        "at": write_time(sent.at),
        "id": str(sent.id),
        "type": sent.type,
        "topic": sent.topic,
        "partition": partition,
        "offset": offset,
    }


def print_budget(record: BudgetRecord, locations: Mapping[UUID, Location], console: Console) -> None:
    """Print a budget's record."""
    console.print_line(f"Budget {record.key}", style="bold")
    if record.status:
        _print_status(record.status, console)
    else:
        console.print_line("ON HOLD" if is_on_hold(record) else "no version has been locked yet")
    _print_hold(record, console)
    _print_spectrum(record, console)
    for line in (*format_reading(record.budget), *format_import(record.budget)) if record.budget else ():
        console.print_line(line)
    _print_errors(record, console)
    console.print_line()
    _print_received(record, console)
    console.print_line()
    _print_sent(record, locations, console)
    if record.pruned_before:
        console.print_line(f"Messages sent because of messages before {format_time(record.pruned_before)} are pruned.")


def _print_received(record: BudgetRecord, console: Console) -> None:
    console.print_line("Messages received" + _count_older(record.history_total, len(record.history)), style="bold")
    # Where nothing has to be signed, nothing is said about it.
    is_signed = any(row.kid for row in record.history)
    console.print_table(
        ("at", "verdict", "version", "rules", *(["signed by"] if is_signed else []), "message", "id", "detail"),
        [
            (
                format_time(row.at),
                row.verdict,
                str(row.budget_version or ""),
                str(row.rules_id),
                *([row.kid or ""] if is_signed else []),
                row.type,
                row.id,
                row.detail,
            )
            for row in record.history
        ],
    )


def _print_sent(record: BudgetRecord, locations: Mapping[UUID, Location], console: Console) -> None:
    console.print_line("Messages sent" + _count_older(record.sent_total, len(record.sent)), style="bold")
    console.print_table(
        ("at", "message", "id", "topic/partition/offset"),
        [
            (
                format_time(one.at),
                one.type or "dead letter",
                str(one.id),
                _describe_location(one, locations.get(one.id)),
            )
            for one in record.sent
        ],
    )


def _count_older(total: int, shown: int) -> str:
    return f" (the latest {shown} of {total}; --all prints all)" if total > shown else ""


def _print_spectrum(record: BudgetRecord, console: Console) -> None:
    if found := _write_spectrum(record):
        console.print_line(
            f"  Spectrum: company {found['company_code']}, job {found['job_number']}, currency {found['currency']}"
        )
        if found["export_id"]:
            reference = f", Spectrum's reference {found['erp_reference']}" if found["erp_reference"] else ""
            console.print_line(
                f"  last export: {found['change_reference']} (version {found['version']}, attempt {found['attempt']}), "
                f"export id {found['export_id']}{reference}"
            )


def _print_errors(record: BudgetRecord, console: Console) -> None:
    version = record.budget.version if record.budget else None
    errors = version.errors if version else ()
    for error in errors[:_MOST_ERRORS]:
        console.print_line(f"  error: {describe_error(error)}")
    if len(errors) > _MOST_ERRORS:
        console.print_line(f"  … and {len(errors) - _MOST_ERRORS} more errors (--json prints all)")


def describe_error(error: BudgetError) -> str:
    """Describe one thing that is wrong with a version: the line, the field, the code and the message."""
    line = f"line {error.budget_line_item_id}" if error.budget_line_item_id is not None else None
    where = ", ".join(filter(None, (line, error.field)))
    return ": ".join(filter(None, (where, error.code, error.message)))


def format_time(at: datetime) -> str:
    """Format a time for people: UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def describe_next_step(status: BudgetStatus) -> str:
    """Describe whom a budget waits for, and for what."""
    if status.on_hold:
        return "an operator, to release it (`release`) once the cause is fixed"
    if status.overdue:
        return "an operator, to check Spectrum, which has not answered in time (`retry` or `acknowledge`)"
    if status.status == "SYNCED" and status.read_back == "differs":
        return "an approver, to decide what becomes of the figures that differ in Spectrum (`drift`)"
    return _NEXT_STEPS[status.status]


_NEXT_STEPS: Final[Mapping[StatusName, str]] = {
    "INVALID": "the project side, to correct it and lock a new version; or accounting, to fix the rules",
    "PENDING_APPROVAL": "an approver, to accept or reject it",
    "EXPORTING": "Spectrum, to acknowledge the export",
    "EXPORT_FAILED": "an operator (`retry`) or approver, to send it again; an approver, to reject it; or a new version",
    "RETURNED": "the project side, to lock a new version",
    "SYNCED": "nobody",
}


def _describe_location(sent: SentMessage, location: Location | None) -> str:
    if isinstance(location, Place):
        return f"{location.topic}/{location.partition}/{location.offset}"
    return f"{sent.topic} ({location})" if location else sent.topic


def _print_hold(record: BudgetRecord, console: Console) -> None:
    for hold in record.holds[:1]:
        if hold.to_come:
            console.print_line(f"  on hold from its next message on: {hold.reason}")
        elif is_on_hold(record):
            console.print_line(f"  on hold: {hold.reason}; `budget-bridge release {record.key}` releases it")
    if record.holds_total > len(record.holds):
        console.print_line(f"  it was put on hold {record.holds_total} times")
    if record.held_total:
        under_way = ", which a release that is under way decides in pieces"
        is_releasing = record.budget and record.budget.releasing and not is_on_hold(record)
        console.print_line(f"  {record.held_total} messages are held" + (under_way if is_releasing else ""))


def _print_status(status: BudgetStatus, console: Console) -> None:
    notes = [
        f"version {status.budget_version} since {format_time(status.since)}",
        f"last synced version {status.synced_version}" if status.synced_version else "never synced",
    ]
    if status.attempt:
        notes.append(f"export attempt {status.attempt}" + (", overdue" if status.overdue else ""))
    if status.waiting_version:
        notes.append(f"version {status.waiting_version} waits")
    if status.on_hold:
        notes.append("ON HOLD")
    console.print_line(f"{status.status}: {'; '.join(notes)}")
    console.print_line(f"  it waits for {describe_next_step(status)}")
    for line in status.failed_lines:
        words = " ".join(filter(None, (line.error_code, line.error_column, line.error_description)))
        where = f"phase {line.phase_code}, cost type {line.cost_type}: " if line.phase_code is not None else ""
        console.print_line(f"  failed: {where}{words}")
