"""Reads everything that the database holds as of one moment, to compare it with the topics and with the rules.

Nothing here writes, and no lane uses it.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from contracts.budget_key import BudgetKey
from contracts.records import Headers, Outgoing, Place, Record
from handlers.budget import Budget
from handlers.decision import Verdict
from outbox.budget_state import UnreadableStateError
from outbox.columns import transpose
from outbox.database import Connection, open_frozen_session, translate_errors
from outbox.identity import Identity
from outbox.loading import read_budget
from outbox.queries import QUERIES
from outbox.stored_records import read_outgoing, read_received, unpack_headers

_ROWS_AT_ONCE: Final = 2000
_WHOLE_ROWS_AT_ONCE: Final = 50
"""Fewer rows where each carries the bytes of a message, which may be more than a megabyte."""


class RowPlace(NamedTuple):
    """Where an outbox row is in the order in which its lane publishes."""

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
    """What history has of an identity: the place of its first record, and digests of its bytes."""

    inbox_partition: int
    inbox_offset: int
    key_digest: bytes
    headers: Headers
    body_digest: bytes
    pruned: bool
    """Whether its bytes are gone."""


class Kept(NamedTuple):
    """One message of history as it was received, and what became of it."""

    identity: Identity
    inbox_partition: int
    inbox_offset: int
    at: datetime
    original: Record
    verdict: Verdict
    detail: str
    rules_id: int
    pruned: bool
    """Whether its bytes are gone."""


class Effect(NamedTuple):
    """An outbox row, with the place of the message that caused it."""

    inbox_partition: int
    inbox_offset: int
    ordinal: int
    id: str
    record: Outgoing


class Granted(NamedTuple):
    """An acceptance, a retry or a drift decision that was granted, as it was received."""

    budget: BudgetKey
    version: int | None
    type: str
    headers: Headers
    body: bytes
    source: str
    id: str
    rules_id: int
    """The rules by which it was decided when it arrived."""
    at: datetime
    """When it arrived in the inbox."""


class StoredPage(NamedTuple):
    """A page of a snapshot as history has it."""

    source: str
    id: str
    verdict: str
    headers: Headers
    body: bytes | None
    """``None`` where it is pruned."""


class HoldAt(NamedTuple):
    """Why a budget was put on hold at a message."""

    reason: str
    silent: bool = False
    """Whether no status message was sent, because the stored state could not be read."""


class StoredBudget(NamedTuple):
    """A budget as it is stored; ``None`` where its state cannot be read."""

    key: BudgetKey
    budget: Budget | None


class Snapshot:
    """The database as of one moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read_positions(self) -> dict[int, int]:
        """Read the position of each lane."""
        async with translate_errors(self._connection):
            return {row[0]: row[1] for row in await self._connection.fetch(QUERIES["audit_positions"])}

    async def read_rules(self) -> dict[int, str]:
        """Read every version of the rules, as it was written."""
        async with translate_errors(self._connection):
            return {row[0]: row[1] for row in await self._connection.fetch(QUERIES["audit_rules"])}

    async def find_stored(self, identities: Iterable[Identity]) -> dict[Identity, Stored]:
        """Find what history has of these identities."""
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
        """Find which of these source records arrived before a time."""
        columns = transpose(origins, 3)
        async with translate_errors(self._connection):
            rows = await self._connection.fetch(QUERIES["audit_old_origins"], *columns, before)
        return {Place(*row) for row in rows}

    async def read_places(self, inbox_partition: int, start: int, stop: int) -> AsyncIterator[int]:
        """Read in order which inbox offsets history has of one partition, from ``start`` to below ``stop``."""
        query = QUERIES["audit_places"]
        async with translate_errors(self._connection):
            async for row in self._connection.cursor(query, inbox_partition, start, stop, prefetch=_ROWS_AT_ONCE):
                yield row[0]

    async def read_rows(self, topic: str) -> AsyncIterator[SentRow]:
        """Read everything that was to be sent to a topic."""
        async with translate_errors(self._connection):
            async for row in self._connection.cursor(QUERIES["audit_rows"], topic, prefetch=_WHOLE_ROWS_AT_ONCE):
                yield _read_row(topic, row)

    async def read_rows_since(self, topic: str, inbox_partition: int, start: int) -> AsyncIterator[SentRow]:
        """Read what one lane sends to a topic because of records from an offset on."""
        query = QUERIES["audit_rows_since"]
        async with translate_errors(self._connection):
            async for row in self._connection.cursor(
                query, topic, inbox_partition, start, prefetch=_WHOLE_ROWS_AT_ONCE
            ):
                yield _read_row(topic, row)

    async def read_records(self, places: Sequence[RowPlace]) -> list[Outgoing]:
        """Read the outbox rows of these places, all of one lane, in their order."""
        offsets, ordinals = [place.inbox_offset for place in places], [place.ordinal for place in places]
        async with translate_errors(self._connection):
            rows = await self._connection.fetch(QUERIES["audit_rows_at"], places[0].inbox_partition, offsets, ordinals)
        return [read_outgoing(row) for row in rows]

    async def read_projects(self) -> AsyncIterator[tuple[int, int]]:
        """Read the company and project ids of all projects; (0, 0) is the project of unreadable records."""
        async with translate_errors(self._connection):
            async for row in self._connection.cursor(QUERIES["audit_projects"], prefetch=_ROWS_AT_ONCE):
                yield row[0], row[1]

    async def count_before(self, project: tuple[int, int], before: datetime) -> int:
        """Count the messages of a project that arrived before a time."""
        async with translate_errors(self._connection):
            found: int = await self._connection.fetchval(QUERIES["audit_count_before"], *project, before)
        return found

    async def read_history(
        self, projects: Iterable[tuple[int, int]], inbox_partition: int | None = None
    ) -> AsyncIterator[Kept]:
        """Read the messages of projects, lane by lane in the order of the log.

        Args:
            projects: company and project ids.
            inbox_partition: the only lane to read; ``None`` for all lanes.
        """
        columns = transpose(projects, 2)
        query = QUERIES["audit_history"]
        async with translate_errors(self._connection):
            async for row in self._connection.cursor(query, *columns, inbox_partition, prefetch=_WHOLE_ROWS_AT_ONCE):
                yield _read_kept(row)

    async def read_effects(self, project: tuple[int, int]) -> AsyncIterator[Effect]:
        """Read what was sent because of the messages of a project, in the same order."""
        async with translate_errors(self._connection):
            async for row in self._connection.cursor(QUERIES["audit_effects"], *project, prefetch=_WHOLE_ROWS_AT_ONCE):
                yield Effect(row[0], row[1], row[2], str(row["id"]), read_outgoing(row))

    async def read_project_budgets(self, project: tuple[int, int]) -> dict[BudgetKey, Budget | None]:
        """Read the stored budgets of a project; ``None`` for one whose state cannot be read."""
        async with translate_errors(self._connection):
            rows = await self._connection.fetch(QUERIES["audit_budgets"], *project)
        keys = [BudgetKey(*project, row["budget_id"]) for row in rows]
        return {key: _read_stored(key, row) for key, row in zip(keys, rows, strict=True)}

    async def read_holds(self, project: tuple[int, int]) -> dict[tuple[int, int], HoldAt]:
        """Read at which records budgets of a project were put on hold, and why."""
        async with translate_errors(self._connection):
            rows = await self._connection.fetch(QUERIES["audit_holds"], *project)
        return {(row[0], row[1]): HoldAt(row[2], row[3]) for row in rows}

    async def find_rowless(self) -> list[BudgetKey]:
        """Find budgets that have no row although messages were applied to them; at most 100."""
        async with translate_errors(self._connection):
            return [BudgetKey(*row) for row in await self._connection.fetch(QUERIES["audit_rowless"])]

    async def find_causeless(self) -> list[tuple[int, int, str]]:
        """Find outbox rows that no message of history caused, at most 100: inbox partition, inbox offset, topic."""
        async with translate_errors(self._connection):
            return [tuple(row) for row in await self._connection.fetch(QUERIES["audit_causeless"])]

    async def read_budgets(self) -> AsyncIterator[StoredBudget]:
        """Read every stored budget."""
        async with translate_errors(self._connection):
            async for row in self._connection.cursor(QUERIES["audit_statuses"], prefetch=_WHOLE_ROWS_AT_ONCE):
                key = BudgetKey(*row[:3])
                yield StoredBudget(key, _read_stored(key, row))

    async def count_budgets(self) -> int:
        """Count the stored budgets."""
        async with translate_errors(self._connection):
            found: int = await self._connection.fetchval(QUERIES["audit_count_budgets"])
        return found

    async def read_granted(self) -> AsyncIterator[Granted]:
        """Read the acceptances, retries and drift decisions that were granted."""
        async with translate_errors(self._connection):
            async for row in self._connection.cursor(QUERIES["audit_answered"], prefetch=_ROWS_AT_ONCE):
                headers = unpack_headers(row["headers"])
                yield Granted(BudgetKey(*row[:3]), row[3], row[4], headers, *row[6:])

    async def read_pages(self, budget: BudgetKey, pages: Sequence[tuple[str, str]]) -> list[StoredPage]:
        """Read what history has of the pages of a budget's snapshots with these sources and ids."""
        async with translate_errors(self._connection):
            rows = await self._connection.fetch(QUERIES["audit_pages"], *budget, *transpose(pages, 2))
        return [StoredPage(**{**dict(row), "headers": unpack_headers(row["headers"])}) for row in rows]


@asynccontextmanager
async def open_snapshot(database_url: str) -> AsyncIterator[Snapshot]:
    """Read the database as of now, for as long as it takes; lanes continue meanwhile."""
    async with open_frozen_session(database_url) as connection:
        yield Snapshot(connection)


def _read_kept(row: Any) -> Kept:
    return Kept(
        Identity(row["company_id"], row["project_id"], row["source"], row["id"], row["type"]),
        row["inbox_partition"],
        row["inbox_offset"],
        row["at"],
        read_received(row),
        Verdict(row["verdict"]),
        row["detail"],
        row["rules_id"],
        row["pruned"],
    )


def _read_stored(key: BudgetKey, row: Any) -> Budget | None:
    try:
        return read_budget(key, row["state"], row["readings"], on_hold=row["on_hold"])
    except UnreadableStateError:
        return None


def _read_row(topic: str, row: Any) -> SentRow:
    budget = None if row["budget_id"] is None else BudgetKey(*row[4:7])
    record = Outgoing(topic, row["key"], row["value"], unpack_headers(row["headers"]))
    return SentRow(RowPlace(*row[:3]), row["at"], budget, record)
