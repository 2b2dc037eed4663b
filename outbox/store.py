"""The transaction of a lane: position, history, budgets and outbox change together or not at all."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message, Unreadable
from contracts.cloudevents.reading import read_message
from contracts.codec import JsonCodec
from contracts.inbound import BudgetRelease
from contracts.inbox import Arrival
from contracts.records import Outgoing, Place, Record, digest_record
from contracts.topics import TopicNames
from handlers.budget import Budget
from outbox.batch import (
    DecidedBatch,
    HistoryEntry,
    Identity,
    Loaded,
    OutboxRow,
    Suspects,
    decide_batch,
    identify,
    pack_headers,
    unpack_headers,
)
from outbox.database import Connection, tell_outages, transaction
from outbox.queries import QUERIES
from outbox.rules import read_rules_in_force

BUDGETS: Final = JsonCodec(Budget)
"""How a budget is written into ``budgets.state``."""

_ROWS_AT_ONCE: Final = 500

NOTHING_SUSPECT: Final = Suspects()


class PositionLost(Exception):  # noqa: N818 - what happened to the lane, not an error of the program
    """Somebody else moved or took this lane's position, or changed a budget of it: nothing was stored."""


class LastRecord(NamedTuple):
    """What a position remembers of the record before it."""

    offset: int
    timestamp_ms: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """How far a lane is in its inbox partition, and who may move it."""

    inbox_partition: int
    next_offset: int
    owner: UUID
    last: LastRecord | None = None


class StoredRow(NamedTuple):
    """One message of the outbox, and the offset of the record that caused it."""

    inbox_offset: int
    record: Outgoing


def describe_record(record: Record) -> LastRecord:
    """Describe a record so that another one at its offset is told from it."""
    return LastRecord(record.place.offset, record.timestamp_ms, digest_record(record))


async def take_position(connection: Connection, inbox_partition: int, owner: UUID) -> Position | None:
    """Become the one who may move a lane's position; ``None`` where the lane is new.

    Waits for a predecessor's transaction to end, and lets none of his later ones through.
    """
    async with tell_outages():
        row = await connection.fetchrow(QUERIES["take_position"], inbox_partition, owner)
    if row is None:
        return None
    last = None if row["last_offset"] is None else LastRecord(*row[1:])
    return Position(inbox_partition, row["next_offset"], owner, last)


async def start_position(connection: Connection, inbox_partition: int, next_offset: int, owner: UUID) -> Position:
    """Write the position of a new lane."""
    async with tell_outages():
        await connection.execute(QUERIES["start_position"], inbox_partition, next_offset, owner)
    return Position(inbox_partition, next_offset, owner)


async def store_batch(
    connection: Connection,
    position: Position,
    arrivals: Sequence[Arrival],
    topics: TopicNames,
    suspects: Suspects = NOTHING_SUSPECT,
) -> tuple[Position, DecidedBatch]:
    """Decide a batch and store what it comes to, in one transaction; returns the position after it.

    Raises ``PositionLost``, ``StumbledError``, or ``DatabaseDown``; after the last, whether the batch was
    stored is not known.
    """
    async with tell_outages(), transaction(connection):
        return await write_batch(connection, position, arrivals, topics, suspects)


async def write_batch(
    connection: Connection,
    position: Position,
    arrivals: Sequence[Arrival],
    topics: TopicNames,
    suspects: Suspects,
) -> tuple[Position, DecidedBatch]:
    """Do what ``store_batch`` does, within a transaction of the caller's."""
    last = arrivals[-1].inbox
    after = replace(position, next_offset=last.place.offset + 1, last=describe_record(last))
    # First of all: which rules are in force must not change between here and the commit.
    rules = await read_rules_in_force(connection)
    await _move_position(connection, position, after)
    held = await _load(connection, arrivals, topics)
    decided = decide_batch(arrivals, held, rules, topics, suspects)
    await _write(connection, after, held, decided)
    return after, decided


async def find_holds_to_come(connection: Connection, inbox_partition: int) -> dict[BudgetKey, str]:
    """Find the budgets that are held from their next message on, each with the reason."""
    async with tell_outages():
        rows = await connection.fetch(QUERIES["find_holds_to_come"], inbox_partition)
    return {BudgetKey(*row[:3]): row[3] for row in rows}


async def read_outbox(
    connection: Connection, inbox_partition: int, start: int, stop: int, at_most: int
) -> list[StoredRow]:
    """Read what a lane sends because of records from ``start`` to below ``stop``, in order."""
    async with tell_outages():
        rows = await connection.fetch(QUERIES["read_outbox"], inbox_partition, start, stop, at_most)
    return [
        StoredRow(row["inbox_offset"], Outgoing(row["topic"], row["key"], row["value"], unpack_headers(row["headers"])))
        for row in rows
    ]


async def read_backlog(
    connection: Connection, inbox_partition: int, start: int, stop: int
) -> AsyncIterator[tuple[int, list[StoredRow]]]:
    """Read what a lane sends because of records from ``start`` to below ``stop``, in pieces that leave together.

    Each comes with the offset that everything before it has been sent at.
    """
    at_most = _ROWS_AT_ONCE
    while start < stop:
        rows = await read_outbox(connection, inbox_partition, start, stop, at_most)
        following = stop
        if len(rows) == at_most:
            # The last record's rows may go on beyond: what one record causes leaves in one transaction.
            following = rows[-1].inbox_offset
            rows = [row for row in rows if row.inbox_offset < following]
            if not rows:
                at_most *= 2
                continue
        yield following, rows
        start = following


async def _move_position(connection: Connection, before: Position, after: Position) -> None:
    moved = await connection.execute(
        QUERIES["move_position"],
        before.inbox_partition,
        before.next_offset,
        before.owner,
        after.next_offset,
        *(after.last or (None, None, None)),
    )
    if moved != "UPDATE 1":
        message = f"the position of inbox partition {before.inbox_partition} was moved or taken by somebody else"
        raise PositionLost(message)


async def _load(connection: Connection, arrivals: Iterable[Arrival], topics: TopicNames) -> Loaded:
    identities = {identify(arrival) for arrival in arrivals}
    keys = {arrival.message.body.key for arrival in arrivals if isinstance(arrival.message, Message)}
    projects = {key[:2] for key in keys}
    known = await connection.fetch(QUERIES["find_known"], *_turn(identities, 4))
    if not keys:
        return Loaded(frozenset(Identity(*row) for row in known), {}, {})
    stored = await connection.fetch(QUERIES["load_budgets"], *_turn(keys, 3))
    claims = await connection.fetch(QUERIES["load_claims"], *_turn(projects, 2))
    budgets = ((BUDGETS.read(row["state"]), row["revision"]) for row in stored)
    return Loaded(
        frozenset(Identity(*row) for row in known),
        {budget.key: (budget, revision) for budget, revision in budgets},
        {(row[0], row[1]): row[2] for row in claims},
        await _load_held_messages(connection, arrivals, topics),
    )


async def _load_held_messages(
    connection: Connection, arrivals: Iterable[Arrival], topics: TopicNames
) -> dict[BudgetKey, tuple[Message, ...]]:
    """Load what is held of the budgets that these messages release."""
    released = {
        body.key
        for arrival in arrivals
        if isinstance(arrival.message, Message) and isinstance(body := arrival.message.body, BudgetRelease)
    }
    found: dict[BudgetKey, tuple[Message, ...]] = {}
    for key in released:
        rows = await connection.fetch(QUERIES["load_held_messages"], *key)
        opened = (_read_message(row, topics) for row in rows)
        found[key] = tuple(message for message in opened if isinstance(message, Message))
    return found


def _read_message(row: Any, topics: TopicNames) -> Message | Unreadable:
    place = Place(row["origin_topic"], row["origin_partition"], row["origin_offset"])
    headers = unpack_headers(row["headers"])
    record = Record(place, row["origin_timestamp_ms"], row["key"], row["body"], headers)
    return read_message(topics.short(place.topic), record)


async def _write(connection: Connection, after: Position, held: Loaded, decided: DecidedBatch) -> None:
    if decided.entries:
        history = [_write_history(entry, decided.rules.id) for entry in decided.entries]
        await connection.execute(QUERIES["add_history"], *_turn(sorted(history), len(history[0])))
    if decided.resolved:
        # What a message came to last is what it came to.
        last = {identity: (verdict.value, _clean(detail)) for identity, verdict, detail in decided.resolved}
        resolved = [(*identity, *found) for identity, found in last.items()]
        await connection.execute(QUERIES["resolve_history"], *_turn(resolved, 6))
    revisions = {key: revision for key, (_, revision) in held.budgets.items()}
    await write_budgets(connection, after.inbox_partition, revisions, decided.budgets)
    if decided.rows:
        rows = [_write_row(after.inbox_partition, row) for row in decided.rows]
        await connection.execute(QUERIES["add_outbox"], *_turn(rows, len(rows[0])))
    if decided.holds:
        holds = [(*key, reason, after.inbox_partition, offset) for key, reason, offset in decided.holds]
        await connection.execute(QUERIES["add_holds"], *_turn(holds, 6))


async def write_budgets(
    connection: Connection,
    inbox_partition: int,
    revisions: Mapping[BudgetKey, int],
    changed: Mapping[BudgetKey, Budget],
) -> None:
    """Write the budgets that changed, on condition of the revisions that were read; one without is added.

    Raises:
        PositionLost: Somebody else changed one of them.
    """
    added = [_write_budget(budget, 0, inbox_partition) for key, budget in changed.items() if key not in revisions]
    updated = [
        _write_budget(budget, revisions[key], inbox_partition) for key, budget in changed.items() if key in revisions
    ]
    for query, rows in (("add_budgets", added), ("change_budgets", updated)):
        if not rows:
            continue
        done = await connection.execute(QUERIES[query], *_turn(rows, len(rows[0])))
        if int(done.rpartition(" ")[2]) != len(rows):
            message = f"a budget of inbox partition {inbox_partition} was changed by somebody else"
            raise PositionLost(message)


def _turn(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Turn rows into columns, which is how a whole batch goes into one statement."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]


def _write_history(entry: HistoryEntry, rules_id: int) -> tuple[Any, ...]:
    inbox, original, message = entry.arrival.inbox, entry.arrival.original, entry.arrival.message
    body = message.body if isinstance(message, Message) else None
    return (
        *entry.identity,
        inbox.place.partition,
        inbox.place.offset,
        entry.at,
        *original.place,
        original.timestamp_ms,
        body.type if body else None,
        body.budget_id if body else None,
        body.budget_version if body else None,
        original.key,
        pack_headers(original.headers),
        original.value,
        entry.verdict.value,
        _clean(entry.detail),
        rules_id,
    )


def _write_budget(budget: Budget, revision: int, inbox_partition: int) -> tuple[Any, ...]:
    version, sent, held = budget.version, budget.try_of_version, budget.spectrum_target
    parked = min(budget.parked, key=lambda kept: kept.due_at, default=None)
    return (
        *budget.key,
        revision,
        inbox_partition,
        budget.status,
        version.number if version else None,
        budget.since,
        version.content_hash if version else None,
        budget.export_id_of_version,
        sent.attempt if sent else None,
        budget.synced_version,
        budget.waiting.lock.budget_version if budget.waiting else None,
        budget.due_at,
        budget.overdue,
        budget.on_hold,
        len(budget.parked),
        parked.due_at if parked else None,
        parked.request.budget_version if parked else None,
        held.company_code if held else None,
        held.job_number if held else None,
        budget.claims_job,
        budget.sequence,
        BUDGETS.write(budget).decode(),
    )


def _write_row(inbox_partition: int, row: OutboxRow) -> tuple[Any, ...]:
    record = row.record
    return (
        inbox_partition,
        row.inbox_offset,
        row.ordinal,
        row.id,
        row.at,
        record.topic,
        row.type,
        *(row.budget or (None, None, None)),
        record.key,
        pack_headers(record.headers),
        record.value,
    )


def _clean(detail: str) -> str:
    # Postgres keeps no NUL in a text; people's words may hold one.
    return detail.replace("\x00", "\N{REPLACEMENT CHARACTER}")
