"""Checks INVALID budgets by other rules than those that they failed. Changes nothing."""

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.inbound import BudgetLocked
from contracts.topics import SOURCES
from handlers.budget import Budget
from handlers.decision import Situation
from handlers.rules import Rules
from handlers.validation.check import Valid, check_budget
from handlers.validation.columns import read_columns
from outbox.budget_state import UnreadableStateError, read_state
from outbox.database import Connection, translate_errors
from outbox.queries import QUERIES
from outbox.stored_records import read_received

_BUDGETS_AT_ONCE: Final = 50
"""The lock of a large budget has about a megabyte, and a page of them must fit into memory."""

_TOPIC: Final = next(name for name, models in SOURCES.items() if BudgetLocked in models)


class CheckedBudget(NamedTuple):
    """An INVALID budget, and whether its current version is valid by the given rules."""

    key: BudgetKey
    version: int
    passes: bool | None
    """``None`` where it cannot be checked because the bytes of its lock are pruned."""


async def check_invalid_budgets(connection: Connection, rules: Rules) -> AsyncIterator[CheckedBudget]:
    """Check the current version of every INVALID budget by the given rules, page by page in the order of their keys."""
    after = BudgetKey(0, 0, 0)
    while True:
        async with translate_errors(connection):
            rows = await connection.fetch(QUERIES["list_invalid_budgets"], *after, _BUDGETS_AT_ONCE)
        for row in rows:
            after = BudgetKey(*row[:3])
            with suppress(UnreadableStateError):
                budget = read_state(row["state"])
                if budget.version is None:
                    continue
                yield CheckedBudget(budget.key, budget.version.number, _check(row, budget, rules))
        if len(rows) < _BUDGETS_AT_ONCE:
            return


def _check(row: Any, budget: Budget, rules: Rules) -> bool | None:
    if row["origin_topic"] is None or row["pruned"] or budget.since is None:
        return None
    message = read_message(_TOPIC, read_received(row))
    if not isinstance(message, Message) or not isinstance(message.body, BudgetLocked):
        return None
    situation = Situation(budget.since, rules, row["job_taken_by"])
    columns = read_columns(message.body.lines)
    return isinstance(check_budget(message.body, columns, budget, situation), Valid)
