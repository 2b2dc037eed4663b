"""Reads what people are shown of one budget, and lists the budgets of one status."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey
from contracts.cloudevents.reading import read_claimed_type
from contracts.outbound import BudgetStatus
from contracts.records import Headers, Place
from handlers.budget import Budget
from handlers.decision import describe_status
from outbox.budget_state import UnreadableStateError
from outbox.database import Connection, translate_errors
from outbox.loading import read_budget
from outbox.queries import QUERIES
from outbox.stored_records import unpack_headers

ON_HOLD: Final = "ON_HOLD"
"""Beside the statuses: a budget of any status may be on hold."""

_MOST_HOLDS: Final = 20


class HistoryRow(NamedTuple):
    """One message of a budget, and what became of it."""

    at: datetime
    source: str
    id: str
    type: str
    budget_version: int | None
    """``None`` where it is about the budget as a whole."""
    verdict: str
    detail: str
    rules_id: int
    """The version of the rules by which it was decided."""
    kid: str | None
    """The key that signed it, if it had to be signed."""


class HoldReason(NamedTuple):
    """Why a budget was put on hold, or will be with its next message."""

    reason: str
    to_come: bool


class SentMessage(NamedTuple):
    """One message that was sent for a budget."""

    at: datetime
    id: UUID
    type: str | None
    topic: str
    inbox_partition: int
    inbox_offset: int
    key: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class BudgetRecord:
    """What the database holds of one budget."""

    key: BudgetKey
    budget: Budget | None
    """Its state; ``None`` where it has none yet."""
    status: BudgetStatus | None
    history: tuple[HistoryRow, ...]
    """The latest messages, in the order of the log."""
    sent: tuple[SentMessage, ...]
    """The latest messages sent, in the order in which they were sent."""
    history_total: int
    sent_total: int
    holds: tuple[HoldReason, ...] = ()
    """The latest, and first of all one that is to come."""
    holds_total: int = 0
    held_total: int = 0
    """How many messages are held."""
    pruned_before: datetime | None = None
    """What was sent before this time may have been pruned; ``None`` where nothing is missing."""
    unreadable: str | None = None
    """Why the stored state cannot be read; ``None`` where it can. Without it there is neither budget nor status."""


async def read_budget_record(connection: Connection, key: BudgetKey, at_most: int | None = None) -> BudgetRecord | None:
    """Read a budget's record.

    Args:
        connection: a session on a database with our schema.
        key: the budget's key.
        at_most: how many of the latest messages received, and of those sent; ``None`` for all.

    Returns:
        The record, or ``None`` for a budget that no message ever named.

    Raises:
        DatabaseDown: Postgres does not answer.
    """
    async with translate_errors(connection):
        state = await connection.fetchrow(QUERIES["show_budget"], *key)
        history = await connection.fetch(QUERIES["show_history"], *key, at_most)
        sent = await connection.fetch(QUERIES["show_sent"], *key, at_most)
        [totals] = await connection.fetch(QUERIES["count_shown"], *key)
        holds = await connection.fetch(QUERIES["show_holds"], *key, _MOST_HOLDS)
        pruned_before = await connection.fetchval(QUERIES["read_pruned_before"])
    if state is None and not history:
        return None
    budget, unreadable = read_shown(key, state) if state else (None, None)
    return BudgetRecord(
        key,
        budget,
        describe_status(budget) if budget else None,
        tuple(map(_read_row, history)),
        tuple(SentMessage(**{**dict(row), "headers": unpack_headers(row["headers"])}) for row in sent),
        totals["messages"],
        totals["sent"],
        tuple(HoldReason(*row) for row in holds),
        totals["holds"],
        totals["held"],
        pruned_before if pruned_before and any(row["at"] < pruned_before for row in history) else None,
        unreadable,
    )


def read_shown(key: BudgetKey, row: Any) -> tuple[Budget | None, str | None]:
    """Read the budget in a row, or why its state cannot be read."""
    try:
        return read_budget(key, row["state"], row["readings"], on_hold=row["on_hold"]), None
    except UnreadableStateError as error:
        return None, str(error)


async def read_verdict(connection: Connection, key: BudgetKey, message_id: str, place: Place) -> tuple[str, str] | None:
    """Read what became of one message.

    Args:
        connection: a session on a database with our schema.
        key: the budget of the message.
        message_id: its id; a topic that was recreated has had another message at the same place.
        place: where its sender has put it: others can send something under its id, but not there.

    Returns:
        Verdict and detail; ``None`` as long as the message is not decided.
    """
    async with translate_errors(connection):
        row = await connection.fetchrow(QUERIES["show_verdict"], *key, *place, message_id)
    return (row["verdict"], row["detail"]) if row else None


def _read_row(row: Any) -> HistoryRow:
    *shown, headers = row
    read = HistoryRow(*shown)
    # What nobody has proven is kept without a type, and shown with the one that it claims.
    return read if read.type or not headers else read._replace(type=read_claimed_type(unpack_headers(headers)))


async def list_budgets(connection: Connection, status: str, after: BudgetKey, at_most: int) -> Sequence[Budget]:
    """List budgets by key.

    Args:
        connection: a session on a database with our schema.
        status: a status, or ``ON_HOLD`` for the budgets that are on hold or will be with their next message.
        after: only budgets after this key.
        at_most: how many.

    Returns:
        The budgets; one whose state cannot be read has nothing but its key and whether it is on hold.
    """
    async with translate_errors(connection):
        if status == ON_HOLD:
            rows = await connection.fetch(QUERIES["list_held_budgets"], *after, at_most)
        else:
            rows = await connection.fetch(QUERIES["list_budgets"], status, *after, at_most)
    return [read_listed(row) for row in rows]


def read_listed(row: Any) -> Budget:
    """Read a budget of a list; one whose state cannot be read has nothing but its key and whether it is on hold."""
    key = BudgetKey(*row[:3])
    try:
        return read_budget(key, row["state"], on_hold=row["on_hold"])
    except UnreadableStateError:
        # Listed all the same; its record says why it cannot be read.
        return Budget(key, on_hold=row["on_hold"])


async def count_budgets(connection: Connection, status: str) -> int:
    """Count the budgets of a status; ``ON_HOLD`` counts those that are on hold or will be with their next message."""
    async with translate_errors(connection):
        found: int = await (
            connection.fetchval(QUERIES["count_held_budgets"])
            if status == ON_HOLD
            else connection.fetchval(QUERIES["count_budgets"], status)
        )
    return found
