"""One act on many budgets: the same message for each, with ids that follow from the operation and the budget.

The address carries what was asked for, sealed; what became of each is in history. So an operation can be looked at and
sent again after a reload, a restart, and in another browser, and nothing is done twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

from starlette.exceptions import HTTPException

from contracts.budget_key import BudgetKey
from contracts.fields import read_time, write_time
from contracts.inbound import InboundMessage
from desk.act_fields import Fields
from desk.act_messages import Case
from desk.acting import Acting, digest_state, find_version, may_act
from desk.forms import LIFETIME
from desk.offers import ACTS, Act
from desk.page import Page, parse_key, write_link
from desk.preview import Preview
from desk.seals import Seal
from handlers.budget import Budget
from outbox.approvals import load_listed, read_situations

MOST: Final = 100
"""Budgets of one operation."""

NAMES: Final = ("retry", "release")
"""The acts that can be done to many: none of them approves anything."""

NO_BUDGET: Final = BudgetKey(0, 0, 0)
"""What the token of an operation is for."""


class Target(NamedTuple):
    """One budget of an operation."""

    key: BudgetKey
    version: int


@dataclass(frozen=True, slots=True)
class Operation:
    """What was asked for."""

    id: UUID
    act: Act
    user: str
    reason: str
    at: datetime
    targets: tuple[Target, ...]
    left_out: int
    """How many were not sent, because the bridge would have refused them or they had changed."""
    is_unknown: bool = False
    """Whether Kafka has not said that it has all of them."""

    def name_message(self, key: BudgetKey) -> UUID:
        """Name the message for one budget."""
        return uuid5(self.id, str(key))

    def may_send_again(self, user: str, now: datetime) -> bool:
        """Check whether somebody may send what lacks: whoever has sent it, as long as a form may be sent."""
        return user == self.user and now - self.at <= LIFETIME

    def make_message(self, target: Target) -> InboundMessage:
        """Make the message for one budget: the same each time."""
        made = self.act.make(Case(Budget(target.key), target.version, self.user, self.at), Fields(self.reason))
        assert made is not None, "these acts are about any budget"  # noqa: S101 - for mypy
        return made

    def link(self, seal: Seal) -> str:
        """Write the address of the operation."""
        values = {
            "operation": str(self.id),
            "act": self.act.name,
            "user": self.user,
            "reason": self.reason,
            "at": write_time(self.at),
            "budgets": [[*target.key, target.version] for target in self.targets],
            "left_out": self.left_out,
            "unknown": self.is_unknown,
        }
        return write_link(f"/console/operations/{self.id}", of=seal.close(values))


def read_operation(seal: Seal, text: str, operation_id: UUID) -> Operation:
    """Read the operation that an address carries.

    Raises:
        HTTPException: 404, it carries none, or another one.
    """
    values: Any = seal.open(text)
    if not values or values.get("operation") != str(operation_id):
        raise HTTPException(404, "The address of an operation is longer than this; copy all of it.")
    return Operation(
        operation_id,
        ACTS[values["act"]],
        values["user"],
        values["reason"],
        read_time(values["at"]),
        tuple(Target(BudgetKey(*row[:3]), row[3]) for row in values["budgets"]),
        values["left_out"],
        values["unknown"],
    )


class Tried(NamedTuple):
    """One chosen budget, tried out."""

    budget: Budget
    version: int
    would: Preview
    seen: str
    """A digest of its state."""


def read_keys(texts: Sequence[str]) -> list[BudgetKey]:
    """Read which budgets were chosen.

    Raises:
        HTTPException: 400, none, too many, or one that is no key.
    """
    try:
        keys = list(dict.fromkeys(parse_key(text) for text in texts))
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    if not 0 < len(keys) <= MOST:
        raise HTTPException(400, f"Choose 1 to {MOST} budgets, not {len(keys)}.")
    return keys


def find_operation_act(name: str) -> Act:
    """Find an act that can be done to many."""
    if name not in NAMES:
        raise HTTPException(404, f"{name} cannot be done to many budgets at once.")
    return ACTS[name]


async def try_all(page: Page, act: Act, keys: Sequence[BudgetKey]) -> Mapping[BudgetKey, Tried]:
    """Try out an act on each of several budgets; those that the person may not act on are left out."""
    mine = [key for key in keys if may_act(page, act, key)]
    budgets = await load_listed(page.connection, mine) if mine else []
    projects = {budget.key.project for budget in budgets}
    situations = await read_situations(page.connection, projects, page.rules.rules, page.now)
    tried = {}
    for budget in sorted(budgets, key=lambda one: one.key):
        version = find_version(budget, None)
        case = Case(budget, version, page.person.user, page.now)
        acting = Acting(page, act, None, case, situations[budget.key.project].narrow(budget.key))
        if would := acting.try_out():
            tried[budget.key] = Tried(budget, version, would, digest_state(budget))
    return tried
