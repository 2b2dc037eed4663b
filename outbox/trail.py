"""Reads what an auditor is given of the database as of one moment: messages, what was sent, and the rules behind it.

Nothing here writes, and no lane uses it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey
from contracts.records import Outgoing, Record
from contracts.topics import INBOX
from outbox.database import Connection, open_frozen_session, translate_errors
from outbox.queries import QUERIES
from outbox.rules import read_version
from outbox.stored_records import read_outgoing, read_received

_ROWS_AT_ONCE: Final = 50
"""Each carries the bytes of a message, which may be more than a megabyte."""


class Between(NamedTuple):
    """From one time on, and until before another; ``None`` for no end."""

    since: datetime
    until: datetime | None


Scope = BudgetKey | Between


class TrailDeployment(NamedTuple):
    """Which database this is, and as of when it is read."""

    id: UUID
    group_id: str | None
    inbox: str
    """Full name of the topic; the name in the contract before the first worker has started."""
    pruned_before: datetime | None
    read_at: datetime


class TrailRules(NamedTuple):
    """A version of the rules, and who put it in force, why and when, each time."""

    id: int
    digest: str
    required: tuple[str, ...]
    """What had to be signed under it, in words of ``rules.toml``."""
    applied: tuple[tuple[str, str, datetime], ...]


class ReceivedRow(NamedTuple):
    """One message of history as it was received, and what became of it."""

    inbox_partition: int
    inbox_offset: int
    at: datetime
    budget: BudgetKey | None
    version: int | None
    source: str
    id: str
    type: str
    original: Record
    verdict: str
    detail: str
    rules_id: int
    kid: str | None
    """The key that it was proven with; ``None`` where the rules did not want that."""
    pruned: bool
    """Whether its bytes are gone."""


class SentRow(NamedTuple):
    """One message of the outbox, with the place of the message that caused it."""

    inbox_partition: int
    inbox_offset: int
    ordinal: int
    at: datetime
    budget: BudgetKey | None
    id: UUID
    type: str | None
    """``None`` for a dead letter."""
    record: Outgoing


class Trail:
    """The database as of one moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read_deployment(self) -> TrailDeployment:
        """Read which database this is."""
        async with translate_errors(self._connection):
            [row] = await self._connection.fetch(QUERIES["trail_deployment"])
        return TrailDeployment(row["id"], row["group_id"], row["inbox"] or INBOX, row["pruned_before"], row["read_at"])

    async def read_rules(self, rules_id: int) -> TrailRules:
        """Read a version of the rules.

        Raises:
            RulesUnavailable: a newer version of this program stored it.
        """
        async with translate_errors(self._connection):
            rows = await self._connection.fetch(QUERIES["trail_rules"], rules_id)
        rules = await read_version(self._connection, rules_id)
        required = tuple(sorted(rules.signatures_required)) if rules else ()
        applied = tuple((row["applied_by"], row["why"], row["at"]) for row in rows if row["at"])
        return TrailRules(rules_id, rows[0]["digest"], required, applied)

    async def read_rows(self, scope: Scope) -> AsyncIterator[ReceivedRow | SentRow]:
        """Read each message in the order of the log, lane by lane, followed by what was sent because of it.

        Of a budget, what was sent because of another budget's message is there without that message.
        """
        of_budget = isinstance(scope, BudgetKey)
        received = self._read(QUERIES["trail_received_of_budget" if of_budget else "trail_received_between"], scope)
        sent = self._read(QUERIES["trail_sent_of_budget" if of_budget else "trail_sent_between"], scope)
        message, effect = await anext(received, None), await anext(sent, None)
        while message or effect:
            if message and (not effect or _order(message) <= _order(effect)):
                yield _read_received(message)
                message = await anext(received, None)
            else:
                yield _read_sent(effect)
                effect = await anext(sent, None)

    async def _read(self, query: str, scope: Scope) -> AsyncIterator[Any]:
        async with translate_errors(self._connection):
            async for row in self._connection.cursor(query, *scope, prefetch=_ROWS_AT_ONCE):
                yield row


@asynccontextmanager
async def open_trail(database_url: str) -> AsyncIterator[Trail]:
    """Read the database as of now, for as long as it takes; lanes continue meanwhile."""
    async with open_frozen_session(database_url) as connection:
        yield Trail(connection)


def _order(row: Any) -> tuple[int, int]:
    return row["inbox_partition"], row["inbox_offset"]


def _read_received(row: Any) -> ReceivedRow:
    return ReceivedRow(
        row["inbox_partition"],
        row["inbox_offset"],
        row["at"],
        _read_budget(row),
        row["budget_version"],
        row["source"],
        row["id"],
        row["type"],
        read_received(row),
        row["verdict"],
        row["detail"],
        row["rules_id"],
        row["kid"],
        row["pruned"],
    )


def _read_sent(row: Any) -> SentRow:
    return SentRow(
        row["inbox_partition"],
        row["inbox_offset"],
        row["ordinal"],
        row["at"],
        _read_budget(row),
        row["id"],
        row["type"],
        read_outgoing(row),
    )


def _read_budget(row: Any) -> BudgetKey | None:
    return None if row["budget_id"] is None else BudgetKey(row["company_id"], row["project_id"], row["budget_id"])
