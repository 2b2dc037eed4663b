"""The values that all repairs share: a planned step, what only a person can decide, and what a plan is made from."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

from contracts.budget_key import BudgetKey
from worker.deployment import Deployment
from worker.reconcile.progress import Progress, ignore_progress
from worker.rules_in_force import RulesFolder

TreatAs = Literal["published", "unpublished"]


@dataclass(frozen=True, slots=True)
class Choices:
    """What only a person can decide."""

    adopt: bool = False
    """Whether this database replaces the one that the group belonged to."""
    treat_as: TreatAs | None = None
    """Whether stored messages of which Kafka holds none were published and removed since, or never published."""
    publish_again: bool = False
    """Whether to publish again what an output topic has lost; its readers must drop repeats by id."""
    budget: BudgetKey | None = None
    """Rebuild this budget, and check no other one."""
    renamed: bool = False
    """KAFKA_GROUP_ID or TOPIC_PREFIX was changed on purpose."""


class Repair(NamedTuple):
    """One planned step: what needs repair, what can be done about it, and the function that does it."""

    found: str
    way_out: str
    act: Callable[[], Awaitable[None]] | None
    """``None`` if only a person can do it."""


@dataclass(frozen=True, slots=True)
class RecoveryInputs:
    """What every repair is planned from."""

    deployment: Deployment
    deployment_id: UUID
    partitions: int
    """How many partitions the inbox was made with."""
    folder: RulesFolder
    """The rules that are put in force if no version is."""
    choices: Choices
    progress: Progress = ignore_progress
