"""The transaction of a lane: position, history, budgets and outbox change together or not at all.

At each step an audit event (``sys.audit``, which costs nothing where nobody listens) names how far it is:
``budget-bridge.store.`` and what was done. Tests end the process there.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace

from contracts.inbox import Arrival
from contracts.topics import TopicNames
from outbox.batch import DecidedBatch, decide_batch
from outbox.database import Connection, transaction, translate_errors
from outbox.identity import Identity
from outbox.loading import load_batch
from outbox.position import Position, describe_record, move_position
from outbox.rules import read_rules_in_force
from outbox.writing import write_batch


async def store_batch(
    connection: Connection,
    position: Position,
    arrivals: Sequence[Arrival],
    topics: TopicNames,
    failing: frozenset[Identity] = frozenset(),
) -> tuple[Position, DecidedBatch]:
    """Decide a batch and store what it comes to, in one transaction.

    Args:
        connection: the lane's session.
        position: where the lane is.
        arrivals: the next records of its inbox partition, at least one.
        topics: how the topics of this deployment are named.
        failing: messages on which deciding failed, which are held instead.

    Returns:
        The position after the batch, and what the batch came to.

    Raises:
        PositionLost: another session is the owner now; nothing was stored.
        DecisionFailedError: deciding on one of the messages failed; nothing was stored.
        RulesUnavailable: no version of the rules is in force; nothing was stored.
        DatabaseDown: whether the batch was stored is not known.
    """
    async with translate_errors(connection):
        async with transaction(connection):
            sys.audit("budget-bridge.store.transaction-begun", position.inbox_partition)
            after, decided = await store_within(connection, position, arrivals, topics, failing)
            sys.audit("budget-bridge.store.before-commit", position.inbox_partition)
        sys.audit("budget-bridge.store.after-commit", position.inbox_partition)
    return after, decided


async def store_within(
    connection: Connection,
    position: Position,
    arrivals: Sequence[Arrival],
    topics: TopicNames,
    failing: frozenset[Identity],
) -> tuple[Position, DecidedBatch]:
    """Do what ``store_batch`` does, within a transaction of the caller's."""
    last = arrivals[-1].inbox
    after = replace(position, next_offset=last.place.offset + 1, last=describe_record(last))
    # First of all: which rules are in force must not change between here and the commit.
    rules = await read_rules_in_force(connection)
    await move_position(connection, position, after)
    sys.audit("budget-bridge.store.position-moved", position.inbox_partition)
    loaded = await load_batch(connection, arrivals, topics)
    sys.audit("budget-bridge.store.budgets-loaded", position.inbox_partition)
    decided = decide_batch(arrivals, loaded, rules, topics, failing)
    sys.audit("budget-bridge.store.decided", position.inbox_partition)
    await write_batch(connection, after.inbox_partition, loaded, decided)
    return after, decided
