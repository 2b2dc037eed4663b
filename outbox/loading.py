"""Loads what deciding a batch needs: known identities, budgets, projects, held messages. Runs in the transaction."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.inbound import InboundMessage
from contracts.inbox import Arrival
from contracts.records import Record
from contracts.signature.event import pick_signed
from contracts.topics import TopicNames
from handlers.budget import Budget
from handlers.budget_release import decides_held
from handlers.signatures import keep_proof
from outbox.batch import Loaded, UnreadableBudget
from outbox.budget_state import UnreadableStateError, read_readings, read_state
from outbox.columns import transpose
from outbox.database import Connection
from outbox.held_messages import RELEASE_BYTES, RELEASE_MESSAGES, HeldMessage
from outbox.identity import Identity, find_other_identity, identify, identify_origin
from outbox.queries import QUERIES
from outbox.stored_records import read_received


class _Known(NamedTuple):
    """What history holds for an identity."""

    pruned: bool
    body_digest: bytes


async def load_batch(connection: Connection, arrivals: Sequence[Arrival], topics: TopicNames) -> Loaded:
    """Load everything that deciding a batch needs from the database.

    Args:
        connection: a session inside the transaction that will store the batch.
        arrivals: the batch, split at releases.
        topics: how the topics of this deployment are named.

    Raises:
        ValueError: the batch releases one budget more than once; it was not split.
    """
    known = await _find_known(connection, {identify(arrival) for arrival in arrivals})
    conflicts = await _find_conflicts(connection, arrivals, known, topics)
    repeats = await _find_repeats(connection, arrivals)
    if conflicts:
        known |= await _find_known(connection, conflicts.values())
    keys = {arrival.message.body.key for arrival in arrivals if isinstance(arrival.message, Message)}
    if not keys:
        return Loaded(frozenset(known), {}, {}, conflicts=conflicts, repeats=repeats)
    rows = {BudgetKey(*row[:3]): row for row in await connection.fetch(QUERIES["load_budgets"], *transpose(keys, 3))}
    budgets: dict[BudgetKey, tuple[Budget, int]] = {}
    unreadable: dict[BudgetKey, UnreadableBudget] = {}
    for key, row in rows.items():
        if row["revision"] is None:
            continue
        try:
            budgets[key] = read_budget(key, row["state"], row["readings"], on_hold=row["on_hold"]), row["revision"]
        except UnreadableStateError as error:
            unreadable[key] = UnreadableBudget(str(error), row["revision"], row["on_hold"])
    return Loaded(
        frozenset(known),
        budgets,
        {key.project: row["claimant"] for key, row in rows.items() if row["claimant"] is not None},
        await _load_held_messages(connection, arrivals, topics),
        unreadable,
        {key: row["to_hold"] for key, row in rows.items() if row["to_hold"] is not None},
        conflicts,
        {key.project: row["last_reference"] for key, row in rows.items() if row["last_reference"] is not None},
        repeats,
    )


def read_budget(key: BudgetKey, state: str, readings: str | None = None, *, on_hold: bool) -> Budget:
    """Read a budget from its row.

    Args:
        key: the key of the row.
        state: the column ``state``, in any format.
        readings: the content of its row in ``readings``; ``None`` where it has none, or they are not wanted.
        on_hold: the column ``on_hold``. It may be ahead of the state: a budget whose state cannot be read is put on
            hold by this column alone.

    Raises:
        UnreadableStateError: the state is not that of a budget, or that of another budget.
    """
    budget = read_state(state)
    if budget.key != key:
        message = f"the stored state is of budget {budget.key}"
        raise UnreadableStateError(message)
    if readings is not None:
        budget = budget._replace(readings=read_readings(readings))
    return budget._replace(on_hold=True) if on_hold and not budget.on_hold else budget


async def _find_known(connection: Connection, identities: Iterable[Identity]) -> dict[Identity, _Known]:
    rows = await connection.fetch(QUERIES["find_known"], *transpose(identities, len(Identity._fields)))
    return {Identity(*row[:5]): _Known(row["pruned"], row["body_digest"]) for row in rows}


async def _find_conflicts(
    connection: Connection, arrivals: Iterable[Arrival], known: Mapping[Identity, _Known], topics: TopicNames
) -> dict[int, Identity]:
    """Find the records that repeat an identity of history, or of an earlier record of the batch, with other fields.

    A repeat whose first body is pruned cannot be compared, and counts as a duplicate.
    """
    first: dict[Identity, InboundMessage | None] = {}
    conflicts: dict[int, Identity] = {}
    for arrival in arrivals:
        if not isinstance(arrival.message, Message):
            continue
        identity, body = identify(arrival), arrival.message.body
        if identity not in first and (before := known.get(identity)):
            is_same = before.pruned or before.body_digest == hashlib.sha256(arrival.original.value or b"").digest()
            first[identity] = body if is_same else await _load_body(connection, identity, topics)
        earlier = first.setdefault(identity, body)
        if identity in known and known[identity].pruned:
            continue
        if earlier is not None and earlier is not body and earlier.list_values() != body.list_values():
            conflicts[arrival.inbox.place.offset] = identify_origin(arrival)
    return conflicts


async def _find_repeats(connection: Connection, arrivals: Iterable[Arrival]) -> frozenset[int]:
    """Find the records that were decided by other rules, which had another opinion of their signature.

    Otherwise what was decided would be refused when it comes again: copied twice by the intake, or sent again with the
    same bytes after its signature has expired.
    """
    others = [(other, arrival) for arrival in arrivals if (other := find_other_identity(arrival))]
    known = await _find_known(connection, {other for other, _ in others}) if others else {}
    repeats = set()
    for other, arrival in others:
        # A forgery has the id of the genuine message, or in the inbox even its origin, and not all its bytes.
        if other in known and await _has_same_bytes(connection, other, arrival.original):
            repeats.add(arrival.inbox.place.offset)
    return frozenset(repeats)


async def _has_same_bytes(connection: Connection, identity: Identity, record: Record) -> bool:
    row = await connection.fetchrow(QUERIES["load_known_message"], *identity)
    known = read_received(row) if row else None
    return known is not None and (known.value, pick_signed(known.headers)) == (
        record.value,
        pick_signed(record.headers),
    )


async def _load_body(connection: Connection, identity: Identity, topics: TopicNames) -> InboundMessage | None:
    row = await connection.fetchrow(QUERIES["load_known_message"], *identity)
    record = read_received(row) if row else None
    message = read_message(topics.short(record.place.topic), record) if record else None
    # A message that an older version of this program could read and this one cannot is not compared.
    return message.body if isinstance(message, Message) else None


async def _load_held_messages(
    connection: Connection, arrivals: Iterable[Arrival], topics: TopicNames
) -> dict[BudgetKey, tuple[HeldMessage, ...]]:
    """Load what is held of the budgets that the batch releases: as much as is decided at once, and one more."""
    released = [
        arrival.message.body.key
        for arrival in arrivals
        if isinstance(arrival.message, Message) and decides_held(arrival.message.body)
    ]
    if len(set(released)) < len(released):
        message = "a batch releases a budget twice, and only what the first release decides is loaded"
        raise ValueError(message)
    return {key: await load_held(connection, key, topics) for key in released}


async def load_held(connection: Connection, key: BudgetKey, topics: TopicNames) -> tuple[HeldMessage, ...]:
    """Load what is held of a budget: as much as a release decides at once, and one more."""
    rows = await connection.fetch(QUERIES["load_held_messages"], *key, RELEASE_MESSAGES + 1, RELEASE_BYTES)
    return tuple(_read_held(row, topics) for row in rows)


def _read_held(row: Any, topics: TopicNames) -> HeldMessage:
    record = read_received(row)
    message = read_message(topics.short(record.place.topic), record)
    if isinstance(message, Message) and row["kid"]:
        message = keep_proof(message, record, row["kid"])
    return HeldMessage(message, record, (row["inbox_partition"], row["inbox_offset"]))
