"""One budget's story, for people on one screen and for programs as JSON."""

from rich.console import Console
from rich.table import Table

from budget_bridge.contracts.fields import write_time
from budget_bridge.contracts.outbound import BudgetStatus
from budget_bridge.outbox.deployment import Story


def write_story(story: Story) -> dict[str, object]:
    """Write a story for programs."""
    return {
        "budget": story.key._asdict(),
        "status": story.status.model_dump(mode="json") if story.status else None,
        "history": [{**told._asdict(), "at": write_time(told.at)} for told in story.history],
        "sent_pruned_before": write_time(story.pruned_before) if story.pruned_before else None,
        "sent": [{**sent._asdict(), "at": write_time(sent.at), "id": str(sent.id)} for sent in story.sent],
    }


def show_story(story: Story, console: Console) -> None:
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
    history = Table("at", "message", "version", "verdict", "why", title="What came in", title_justify="left", box=None)
    for told in story.history:
        history.add_row(
            write_time(told.at), f"{told.type}\n{told.id}", str(told.budget_version), told.verdict, told.detail
        )
    console.print(history)
    sent = Table("at", "type", "topic", "id", title="What was sent", title_justify="left", box=None)
    for message in story.sent:
        sent.add_row(write_time(message.at), message.type, message.topic, str(message.id))
    console.print(sent)
    if story.pruned_before:
        console.print(f"What was sent because of messages before {write_time(story.pruned_before)} is pruned.")


def _show_status(status: BudgetStatus, console: Console) -> None:
    notes = [
        f"version {status.budget_version} since {write_time(status.since)}",
        f"last synced version {status.synced_version}" if status.synced_version else "never synced",
    ]
    if status.attempt:
        notes.append(f"export attempt {status.attempt}" + (", overdue" if status.overdue else ""))
    if status.waiting_version:
        notes.append(f"version {status.waiting_version} waits")
    if status.on_hold:
        notes.append("ON HOLD")
    console.print(f"{status.status}: {'; '.join(notes)}", markup=False)
    for line in status.failed_lines:
        words = " ".join(filter(None, (line.error_code, line.error_column, line.error_description)))
        console.print(f"  failed: phase {line.phase_code}, cost type {line.cost_type}: {words}", markup=False)
