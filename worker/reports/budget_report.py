"""One budget's story, for people on one screen and for programs as JSON."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from rich.console import Console
from rich.table import Table

from contracts.fields import write_time
from contracts.outbound import BudgetStatus, StatusName
from contracts.records import Place
from outbox.deployment import BudgetRecord, SentMessage
from worker.reports.message_locations import Location


def write_story(story: BudgetRecord, places: Mapping[UUID, Location]) -> dict[str, object]:
    """Write a story for programs."""
    return {
        "budget": story.key._asdict(),
        "status": story.status.model_dump(mode="json") if story.status else None,
        "history": [{**told._asdict(), "at": write_time(told.at)} for told in story.history],
        "sent": [_write_sent(sent, places.get(sent.id)) for sent in story.sent],
    } | ({"sent_pruned_before": write_time(story.pruned_before)} if story.pruned_before else {})


def _write_sent(sent: SentMessage, place: Location | None) -> dict[str, object]:
    partition, offset = (place.partition, place.offset) if isinstance(place, Place) else (None, None)
    return {
        "at": write_time(sent.at),
        "id": str(sent.id),
        "type": sent.type,
        "topic": sent.topic,
        "partition": partition,
        "offset": offset,
    }


def show_story(story: BudgetRecord, places: Mapping[UUID, Location], console: Console) -> None:
    """Show a story to a person."""
    console.print(f"Budget {story.key}", style="bold")
    if story.status:
        _show_status(story.status, console)
    else:
        console.print("No version of it was locked yet.")
    on_hold = bool(story.status and story.status.on_hold)
    for hold in story.holds[:1]:
        if hold.to_come:
            console.print(f"  it is held from its next message on: {hold.reason}", markup=False)
        elif on_hold:
            console.print(f"  on hold: {hold.reason}; `budget-bridge release {story.key}` lets it go on", markup=False)
    history = Table(**_titled("What came in"))
    for name in ("at", "message", "version", "verdict", "why"):
        history.add_column(name, overflow="fold", no_wrap=name in {"at", "verdict"})
    for told in story.history:
        message, version = f"{told.type}\n{told.id}", str(told.budget_version)
        history.add_row(show_time(told.at), message, version, told.verdict, told.detail)
    console.print()
    console.print(history)
    sent = Table(**_titled("What was sent"))
    for name in ("at", "message", "where it stands: topic/partition/offset"):
        sent.add_column(name, overflow="fold", no_wrap=name == "at")
    for one in story.sent:
        where = _tell_where(one, places.get(one.id))
        sent.add_row(show_time(one.at), f"{one.type or 'dead letter'}\n{one.id}", where)
    console.print()
    console.print(sent)
    if story.pruned_before:
        console.print(f"What was sent because of messages before {show_time(story.pruned_before)} is pruned.")


def show_time(at: datetime) -> str:
    """Show a time to a person: UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _titled(title: str) -> dict[str, Any]:
    return {"title": title, "title_justify": "left", "title_style": "bold", "box": None, "pad_edge": False}


def _tell_where(sent: SentMessage, place: Location | None) -> str:
    if isinstance(place, Place):
        return f"{place.topic}/{place.partition}/{place.offset}"
    return f"{sent.topic} ({place})" if place else sent.topic


def _show_status(status: BudgetStatus, console: Console) -> None:
    notes = [
        f"version {status.budget_version} since {show_time(status.since)}",
        f"last synced version {status.synced_version}" if status.synced_version else "never synced",
    ]
    if status.attempt:
        notes.append(f"export attempt {status.attempt}" + (", overdue" if status.overdue else ""))
    if status.waiting_version:
        notes.append(f"version {status.waiting_version} waits")
    if status.on_hold:
        notes.append("ON HOLD")
    console.print(f"{status.status}: {'; '.join(notes)}", markup=False)
    console.print(f"  it waits for {tell_whom(status)}", markup=False)
    for line in status.failed_lines:
        words = " ".join(filter(None, (line.error_code, line.error_column, line.error_description)))
        console.print(f"  failed: phase {line.phase_code}, cost type {line.cost_type}: {words}", markup=False)


def tell_whom(status: BudgetStatus) -> str:
    """Tell whom a budget waits for, and with what."""
    if status.on_hold:
        return "an operator, who lets it go on (`release`) once the cause is mended"
    if status.overdue:
        return "an operator, to look in Spectrum: it has not answered in time (`retry`, or `acknowledge`)"
    return _WHOM[status.status]


_WHOM: Final[Mapping[StatusName, str]] = {
    "INVALID": "the project side, to correct it and lock a new version; or accounting, to mend the rules",
    "PENDING_APPROVAL": "an approver, to accept or reject it",
    "EXPORTING": "Spectrum, to acknowledge the export",
    "EXPORT_FAILED": "an operator, to send it again (`retry`); an approver, to reject it; or a new version",
    "RETURNED": "the project side, to lock a new version",
    "SYNCED": "nobody",
}
