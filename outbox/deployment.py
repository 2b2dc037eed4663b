"""What belongs to the deployment as a whole: which database this is, its rules, its deadlines, its budgets' stories."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey
from contracts.outbound import BudgetStatus
from contracts.records import Headers
from handlers.decision import describe_status
from handlers.rules import Rules
from outbox.batch import unpack_headers
from outbox.database import Connection, tell_outages
from outbox.queries import QUERIES
from outbox.store import BUDGETS, RulesVersion


class Due(NamedTuple):
    """Something of a budget whose time has come: an acknowledgement, or what is parked."""

    deadline: str
    key: BudgetKey
    version: int
    due_at: datetime


class HeldJob(NamedTuple):
    """A job in which Spectrum may hold something of a budget."""

    key: BudgetKey
    company_code: str
    job_number: str


class HistoryRow(NamedTuple):
    """One message of a budget's history, and what became of it."""

    at: datetime
    source: str
    id: str
    type: str
    budget_version: int
    verdict: str
    detail: str


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
    """Everything that one budget's record holds for people."""

    key: BudgetKey
    status: BudgetStatus | None
    history: tuple[HistoryRow, ...]
    sent: tuple[SentMessage, ...]
    holds: tuple[HoldReason, ...] = ()
    """Latest first."""
    pruned_before: datetime | None = None
    """What was sent before this time may be kept no more; ``None`` where all of it is."""


async def read_deployment_id(connection: Connection) -> UUID:
    """Read which database this is."""
    async with tell_outages():
        found: UUID = await connection.fetchval(QUERIES["read_deployment"])
    return found


async def fix_inbox_partitions(connection: Connection, partitions: int) -> int:
    """Write down how many partitions the inbox has, once and for all; returns the number that was written first."""
    async with tell_outages():
        written: int = await connection.fetchval(QUERIES["fix_inbox_partitions"], partitions)
    return written


async def keep_rules(connection: Connection, rules: Rules, content: str, digest: str) -> RulesVersion:
    """Keep the rules that this worker decides by; the same rules keep their id."""
    async with tell_outages():
        rules_id: int = await connection.fetchval(QUERIES["keep_rules"], digest, content)
    return RulesVersion(rules_id, rules)


async def find_due(connection: Connection, inbox_partitions: Sequence[int]) -> list[Due]:
    """Find what is due in these lanes, by the clock of the database: workers' clocks may differ."""
    async with tell_outages():
        rows = await connection.fetch(QUERIES["find_due"], inbox_partitions)
    return [Due(row["deadline"], BudgetKey(*row[1:4]), row["version"], row["due_at"]) for row in rows]


async def find_held_jobs(connection: Connection) -> list[HeldJob]:
    """Find every job in which Spectrum may hold something."""
    async with tell_outages():
        rows = await connection.fetch(QUERIES["find_held_jobs"])
    return [HeldJob(BudgetKey(*row[:3]), row[3], row[4]) for row in rows]


async def read_story(connection: Connection, key: BudgetKey) -> BudgetRecord | None:
    """Read a budget's story; ``None`` for one that no message ever spoke of."""
    async with tell_outages():
        state = await connection.fetchrow(QUERIES["show_budget"], *key)
        history = await connection.fetch(QUERIES["show_history"], *key)
        sent = await connection.fetch(QUERIES["show_sent"], *key)
        holds = await connection.fetch(QUERIES["show_holds"], *key)
        pruned_before = await connection.fetchval(QUERIES["read_pruned_before"])
    if state is None and not history:
        return None
    status = describe_status(BUDGETS.read(state["state"])) if state else None
    return BudgetRecord(
        key,
        status,
        tuple(HistoryRow(*row) for row in history),
        tuple(SentMessage(**{**dict(row), "headers": unpack_headers(row["headers"])}) for row in sent),
        tuple(HoldReason(*row) for row in holds),
        pruned_before if pruned_before and any(row["at"] < pruned_before for row in history) else None,
    )
