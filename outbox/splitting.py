"""Splits a batch into parts that one transaction has time for, by what deciding them decides and loads besides."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.inbox import Arrival
from outbox.batch import split_at_releases
from outbox.columns import transpose
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES

READINGS_BYTES: Final = 2 * 1024 * 1024
"""At most so many bytes of readings, as Postgres compresses them, are loaded at once, unless one budget alone has more.

A reading of 20,000 lines has 80 to 650 kB, and a quarter of a second goes by until its budget is read and decided on:
150 of them would take longer than a transaction may, and gigabytes of memory.
"""

FEW_BUDGETS: Final = 4
"""The readings of so few are not measured: with the largest it takes a second."""


async def split_batch(connection: Connection, arrivals: Sequence[Arrival]) -> AsyncIterator[Sequence[Arrival]]:
    """Split a batch, each part as of what is stored when it is asked for; raises ``DatabaseDown``."""
    for part in split_at_releases(arrivals):
        rest = part
        while rest:
            fitting = await _count_fitting(connection, rest)
            yield rest[:fitting]
            rest = rest[fitting:]


async def _count_fitting(connection: Connection, arrivals: Sequence[Arrival]) -> int:
    """Count how many of these can be decided at once; at least one."""
    keys = set(_list_keys(arrivals))
    if len(keys) <= FEW_BUDGETS:
        return len(arrivals)
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["measure_readings"], *transpose(keys, 3))
    sizes = {BudgetKey(*row[:3]): row["bytes"] for row in rows}
    total = 0
    for number, arrival in enumerate(arrivals):
        total += sum(sizes.pop(key, 0) for key in _list_keys([arrival]))
        if total > READINGS_BYTES and number:
            return number
    return len(arrivals)


def _list_keys(arrivals: Sequence[Arrival]) -> Iterator[BudgetKey]:
    return (arrival.message.body.key for arrival in arrivals if isinstance(arrival.message, Message))
