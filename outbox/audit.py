"""Reads everything that the database holds as of one moment, for comparing it with the logs and with the rules.

Nothing here writes, and no lane uses it.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

from contracts.budget_key import BudgetKey
from contracts.records import Headers, Outgoing, Place, Record
from handlers.budget import Budget
from handlers.decision import Verdict
from outbox.batch import Identity, unpack_headers
from outbox.database import Connection, open_session, tell_outages
from outbox.queries import QUERIES
from outbox.store import BUDGETS

_ROWS_AT_ONCE = 2000


class RowPlace(NamedTuple):
    """Where an outbox row stands: in the order in which a lane publishes."""

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
    """What history has of an identity: where it first stood, and its bytes by digest."""

    inbox_partition: int
    inbox_offset: int
    key_digest: bytes
    headers: Headers
    body_digest: bytes
    pruned: bool
    """Whether its bytes are gone."""


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
    """An acceptance or a retry that was granted, as its bytes say it."""

    budget: BudgetKey
    version: int
    type: str
    headers: Headers
    body: bytes


class Project(NamedTuple):
    """Everything of one project: its messages in order, what they caused, its budgets, where they were put on hold."""

    messages: list[Kept]
    effects: list[Effect]
    budgets: Mapping[BudgetKey, Budget]
    holds: Mapping[tuple[int, int], str]


class Snapshot:
    """The database as of one moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read_positions(self) -> dict[int, int]:
        """Read how far each lane is."""
        async with tell_outages():
            return {row[0]: row[1] for row in await self._connection.fetch(QUERIES["audit_positions"])}

    async def read_rules(self) -> dict[int, str]:
        """Read every version of the rules, as it was written."""
        async with tell_outages():
            return {row[0]: row[1] for row in await self._connection.fetch(QUERIES["audit_rules"])}

    async def find_stored(self, identities: Iterable[Identity]) -> dict[Identity, Stored]:
        """Find what history has of identities."""
        columns = [list(column) for column in zip(*identities, strict=True)] or [[], [], [], []]
        async with tell_outages():
            rows = await self._connection.fetch(QUERIES["audit_verdicts"], *columns)
        return {
            Identity(*row[:4]): Stored(row[4], row[5], row[6], unpack_headers(row["headers"]), *row[8:]) for row in rows
        }

    async def read_pruned_before(self) -> datetime | None:
        """Read the time before which bytes of history and rows of the outbox may be gone; ``None`` where none are."""
        async with tell_outages():
            found: datetime | None = await self._connection.fetchval(QUERIES["read_pruned_before"])
        return found

    async def find_old_origins(self, origins: Iterable[Place], before: datetime) -> set[Place]:
        """Find which records of the sources came in before a time."""
        columns = [list(column) for column in zip(*origins, strict=True)] or [[], [], []]
        async with tell_outages():
            rows = await self._connection.fetch(QUERIES["audit_old_origins"], *columns, before)
        return {Place(*row) for row in rows}

    async def read_places(self, inbox_partition: int) -> set[int]:
        """Read the inbox offsets of one partition that history has."""
        async with tell_outages():
            return {row[0] for row in await self._connection.fetch(QUERIES["audit_places"], inbox_partition)}

    async def read_rows(self, topic: str) -> AsyncIterator[SentRow]:
        """Read everything that was to be sent to a topic."""
        async with tell_outages():
            async for row in self._connection.cursor(QUERIES["audit_rows"], topic, prefetch=_ROWS_AT_ONCE):
                yield _read_row(topic, row)

    async def read_rows_since(self, topic: str, inbox_partition: int, start: int) -> list[SentRow]:
        """Read what one lane sends to a topic because of records from an offset on."""
        async with tell_outages():
            rows = await self._connection.fetch(QUERIES["audit_rows_since"], topic, inbox_partition, start)
        return [_read_row(topic, row) for row in rows]

    async def read_projects(self) -> list[tuple[int, int]]:
        """Name the projects; 0/0 stands for what could not be read."""
        async with tell_outages():
            return [(row[0], row[1]) for row in await self._connection.fetch(QUERIES["audit_projects"])]

    async def read_project(self, company_id: int, project_id: int) -> Project:
        """Read everything of one project."""
        async with tell_outages():
            history = await self._connection.fetch(QUERIES["audit_history"], company_id, project_id)
            effects = await self._connection.fetch(QUERIES["audit_effects"], company_id, project_id)
            budgets = await self._connection.fetch(QUERIES["audit_budgets"], company_id, project_id)
            holds = await self._connection.fetch(QUERIES["audit_holds"], company_id, project_id)
        return Project(
            [
                Kept(
                    Identity(company_id, project_id, row["source"], row["id"]),
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
            {BudgetKey(company_id, project_id, row[0]): BUDGETS.read(row[1]) for row in budgets},
            {(row[0], row[1]): row[2] for row in holds},
        )

    async def find_causeless(self) -> list[tuple[int, int, str]]:
        """Find rows of the outbox that no message of history caused: place and topic."""
        async with tell_outages():
            return [tuple(row) for row in await self._connection.fetch(QUERIES["audit_causeless"])]

    async def read_budgets(self) -> AsyncIterator[Budget]:
        """Read where every budget stands."""
        async with tell_outages():
            async for row in self._connection.cursor(QUERIES["audit_statuses"], prefetch=_ROWS_AT_ONCE):
                yield BUDGETS.read(row["state"])

    async def read_granted(self) -> AsyncIterator[Granted]:
        """Read the acceptances and retries that were granted."""
        async with tell_outages():
            async for row in self._connection.cursor(QUERIES["audit_answered"], prefetch=_ROWS_AT_ONCE):
                yield Granted(BudgetKey(*row[:3]), row[3], row[4], unpack_headers(row["headers"]), row["body"])


@asynccontextmanager
async def open_snapshot(database_url: str) -> AsyncIterator[Snapshot]:
    """Look at the database as it is now, for as long as it takes; lanes go on meanwhile."""
    async with open_session(database_url, transaction_seconds=None) as connection:
        async with tell_outages():
            await connection.execute("begin isolation level repeatable read, read only")
        yield Snapshot(connection)


def _read_row(topic: str, row: Any) -> SentRow:
    budget = None if row["budget_id"] is None else BudgetKey(*row[4:7])
    record = Outgoing(topic, row["key"], row["value"], unpack_headers(row["headers"]))
    return SentRow(RowPlace(*row[:3]), row["at"], budget, record)
