"""Stores a batch in one transaction: position, history, budgets and outbox change together or not at all.

Each step raises an audit event, ``budget-bridge.store.`` and what was done, at which tests can end the process.
``sys.audit`` costs nothing where nobody listens.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from contracts.inbox import Arrival
from contracts.topics import TopicNames
from outbox.batch import DecidedBatch, decide_batch, prove_arrivals
from outbox.database import Connection, transaction, translate_errors
from outbox.identity import Identity
from outbox.loading import load_batch
from outbox.position import Position, describe_record, move_position
from outbox.writing import write_batch

OnDecided: TypeAlias = Callable[[DecidedBatch], None]
"""Is given a decided batch while nothing of it is written yet."""


def _do_nothing(_decided: DecidedBatch) -> None:
    pass


async def store_batch(
    connection: Connection,
    position: Position,
    arrivals: Sequence[Arrival],
    topics: TopicNames,
    failing: frozenset[Identity] = frozenset(),
    on_decided: OnDecided = _do_nothing,
) -> tuple[Position, DecidedBatch]:
    """Decide a batch and store the result, in one transaction.

    Args:
        connection: the lane's session.
        position: where the lane is.
        arrivals: the next records of its inbox partition, at least one.
        topics: how the topics of this deployment are named.
        failing: messages on which deciding failed, which are held instead.
        on_decided: called once the batch is decided, so that what it sends can be prepared while it is stored.
            Whether it will be stored is not known then.

    Returns:
        The position after the batch, and the decided batch.

    Raises:
        PositionLost: another session is the owner now; nothing was stored.
        DecisionFailedError: deciding on one of the messages failed; nothing was stored.
        RulesUnavailable: no version of the rules is in force; nothing was stored.
        DatabaseDown: it is unknown whether the batch was stored.
    """
    async with translate_errors(connection):
        async with transaction(connection):
            sys.audit("budget-bridge.store.transaction-begun", position.inbox_partition)
            after, decided = await store_within(connection, position, arrivals, topics, failing, on_decided)
            sys.audit("budget-bridge.store.before-commit", position.inbox_partition)
        sys.audit("budget-bridge.store.after-commit", position.inbox_partition)
    return after, decided


async def store_within(
    connection: Connection,
    position: Position,
    arrivals: Sequence[Arrival],
    topics: TopicNames,
    failing: frozenset[Identity],
    on_decided: OnDecided = _do_nothing,
) -> tuple[Position, DecidedBatch]:
    """Do what ``store_batch`` does, within the caller's transaction."""
    last = arrivals[-1].inbox
    after = replace(position, next_offset=last.place.offset + 1, last=describe_record(last))
    # First, because from here to the commit the rules in force must not change.
    rules = await move_position(connection, position, after)
    sys.audit("budget-bridge.store.position-moved", position.inbox_partition)
    arrivals = prove_arrivals(arrivals, rules.rules)
    loaded = await load_batch(connection, arrivals, topics)
    sys.audit("budget-bridge.store.budgets-loaded", position.inbox_partition)
    decided = decide_batch(arrivals, loaded, rules, topics, failing)
    sys.audit("budget-bridge.store.decided", position.inbox_partition)
    on_decided(decided)
    await write_batch(connection, after.inbox_partition, loaded, decided)
    return after, decided
