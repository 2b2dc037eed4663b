"""Reads everything that the database holds as of one moment, for comparing it with the logs and with the rules.

Nothing here writes, and no lane uses it.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, NamedTuple

from contracts.budget_key import BudgetKey
from contracts.records import Headers, Outgoing, Place, Record
from handlers.budget import Budget
from handlers.decision import Verdict
from outbox.budget_state import UnreadableStateError
from outbox.columns import transpose
from outbox.database import Connection, open_session, translate_errors
from outbox.identity import Identity
from outbox.loading import read_budget
from outbox.queries import QUERIES
from outbox.stored_headers import unpack_headers

_ROWS_AT_ONCE = 2000


class RowPlace(NamedTuple):
    """The place of an outbox row in the order in which its lane publishes."""

    inbox_partition: int
    inbox_offset: int
    ordinal: int


class SentRow(NamedTuple):
    """An outbox row as it was stored."""

    place: RowPlace
    at: datetime
    budget: BudgetKey | None
    record: Outgoing


class Stored(NamedTuple):
    """What history has of an identity: the place of its first record, and its bytes by digest."""

    inbox_partition: int
    inbox_offset: int
    key_digest: bytes
    headers: Headers
    body_digest: bytes
    pruned: bool
    """Whether its bytes were pruned."""


class Kept(NamedTuple):
    """One message of history as it came in, and what became of it."""

    identity: Identity
    inbox_partition: int
    inbox_offset: int
    at: datetime
    original: Record
    verdict: Verdict
    detail: str
    rules_id: int


class Effect(NamedTuple):
    """An outbox row beside the message that caused it."""

    inbox_partition: int
    inbox_offset: int
    ordinal: int
    id: str
    record: Outgoing


class Granted(NamedTuple):
    """An acceptance or a retry that was granted, with its bytes."""

    budget: BudgetKey
    version: int
    type: str
    headers: Headers
    body: bytes


class HoldAt(NamedTuple):
    """Why a budget was put on hold at a message."""

    reason: str
    silent: bool
    """Whether no status message was sent, because the stored state could not be read."""


class Project(NamedTuple):
    """Everything of one project: its messages in order, what they caused, its budgets, where they were put on hold."""

    messages: list[Kept]
    effects: list[Effect]
    budgets: Mapping[BudgetKey, Budget]
    unreadable: Mapping[BudgetKey, str]
    """Budgets whose stored state cannot be read, with the reason."""
    holds: Mapping[tuple[int, int], HoldAt]
    """By place in the inbox."""


class Snapshot:
    """The database as of one moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read_positions(self) -> dict[int, int]:
        """Read the next offset of each lane."""
        async with translate_errors(self._connection):
            return {row[0]: row[1] for row in await self._connection.fetch(QUERIES["audit_positions"])}

    async def read_rules(self) -> dict[int, str]:
        """Read every version of the rules, as it was written."""
        async with translate_errors(self._connection):
            return {row[0]: row[1] for row in await self._connection.fetch(QUERIES["audit_rules"])}

    async def find_stored(self, identities: Iterable[Identity]) -> dict[Identity, Stored]:
        """Find what history has of identities."""
        columns = transpose(identities, len(Identity._fields))
        async with translate_errors(self._connection):
            rows = await self._connection.fetch(QUERIES["audit_verdicts"], *columns)
        return {
            Identity(*row[:5]): Stored(row[5], row[6], row[7], unpack_headers(row["headers"]), *row[9:]) for row in rows
        }

    async def read_pruned_before(self) -> datetime | None:
        """Read the time before which bytes of history and rows of the outbox may be gone; ``None`` where none are."""
        async with translate_errors(self._connection):
            found: datetime | None = await self._connection.fetchval(QUERIES["read_pruned_before"])
        return found

    async def find_old_origins(self, origins: Iterable[Place], before: datetime) -> set[Place]:
        """Find which records of the sources came in before a time."""
        columns = transpose(origins, len(Place._fields))
        async with translate_errors(self._connection):
            rows = await self._connection.fetch(QUERIES["audit_old_origins"], *columns, before)
        return {Place(*row) for row in rows}

    async def read_places(self, inbox_partition: int) -> set[int]:
        """Read the inbox offsets of one partition that history has."""
        async with translate_errors(self._connection):
            return {row[0] for row in await self._connection.fetch(QUERIES["audit_places"], inbox_partition)}

    async def read_rows(self, topic: str) -> AsyncIterator[SentRow]:
        """Read everything that was to be sent to a topic."""
        async with translate_errors(self._connection):
            async for row in self._connection.cursor(QUERIES["audit_rows"], topic, prefetch=_ROWS_AT_ONCE):
                yield _read_row(topic, row)

    async def read_rows_since(self, topic: str, inbox_partition: int, start: int) -> list[SentRow]:
        """Read what one lane sends to a topic because of records from an offset on."""
        async with translate_errors(self._connection):
            rows = await self._connection.fetch(QUERIES["audit_rows_since"], topic, inbox_partition, start)
        return [_read_row(topic, row) for row in rows]

    async def read_projects(self) -> list[tuple[int, int]]:
        """List the projects; 0/0 is what was set aside."""
        async with translate_errors(self._connection):
            return [(row[0], row[1]) for row in await self._connection.fetch(QUERIES["audit_projects"])]

    async def read_project(self, company_id: int, project_id: int) -> Project:
        """Read everything of one project."""
        async with translate_errors(self._connection):
            history = await self._connection.fetch(QUERIES["audit_history"], company_id, project_id)
            effects = await self._connection.fetch(QUERIES["audit_effects"], company_id, project_id)
            budgets = await self._connection.fetch(QUERIES["audit_budgets"], company_id, project_id)
            holds = await self._connection.fetch(QUERIES["audit_holds"], company_id, project_id)
        readable: dict[BudgetKey, Budget] = {}
        unreadable: dict[BudgetKey, str] = {}
        for row in budgets:
            key = BudgetKey(company_id, project_id, row["budget_id"])
            try:
                readable[key] = read_budget(key, row["state"], on_hold=row["on_hold"])
            except UnreadableStateError as error:
                unreadable[key] = str(error)
        return Project(
            [
                Kept(
                    Identity(company_id, project_id, row["source"], row["id"], row["type"]),
                    row["inbox_partition"],
                    row["inbox_offset"],
                    row["at"],
                    Record(
                        Place(row["origin_topic"], row["origin_partition"], row["origin_offset"]),
                        row["origin_timestamp_ms"],
                        row["key"],
                        row["body"],
                        unpack_headers(row["headers"]),
                    ),
                    Verdict(row["verdict"]),
                    row["detail"],
                    row["rules_id"],
                )
                for row in history
            ],
            [
                Effect(
                    row[0],
                    row[1],
                    row[2],
                    str(row["id"]),
                    Outgoing(row["topic"], row["key"], row["value"], unpack_headers(row["headers"])),
                )
                for row in effects
            ],
            readable,
            unreadable,
            {(row[0], row[1]): HoldAt(row[2], row[3]) for row in holds},
        )

    async def find_causeless(self) -> list[tuple[int, int, str]]:
        """Find rows of the outbox that no message of history caused: place and topic."""
        async with translate_errors(self._connection):
            return [tuple(row) for row in await self._connection.fetch(QUERIES["audit_causeless"])]

    async def read_budgets(self) -> AsyncIterator[Budget]:
        """Read every budget whose state can be read; ``read_project`` names the others."""
        async with translate_errors(self._connection):
            async for row in self._connection.cursor(QUERIES["audit_statuses"], prefetch=_ROWS_AT_ONCE):
                with suppress(UnreadableStateError):
                    yield read_budget(BudgetKey(*row[:3]), row["state"], on_hold=row["on_hold"])

    async def read_granted(self) -> AsyncIterator[Granted]:
        """Read the acceptances and retries that were granted."""
        async with translate_errors(self._connection):
            async for row in self._connection.cursor(QUERIES["audit_answered"], prefetch=_ROWS_AT_ONCE):
                yield Granted(BudgetKey(*row[:3]), row[3], row[4], unpack_headers(row["headers"]), row["body"])


@asynccontextmanager
async def open_snapshot(database_url: str) -> AsyncIterator[Snapshot]:
    """Read the database as of now, for as long as it takes; lanes continue meanwhile."""
    async with open_session(database_url, transaction_seconds=None) as connection:
        async with translate_errors(connection):
            await connection.execute("begin isolation level repeatable read, read only")
        yield Snapshot(connection)


def _read_row(topic: str, row: Any) -> SentRow:
    budget = None if row["budget_id"] is None else BudgetKey(*row[4:7])
    record = Outgoing(topic, row["key"], row["value"], unpack_headers(row["headers"]))
    return SentRow(RowPlace(*row[:3]), row["at"], budget, record)
