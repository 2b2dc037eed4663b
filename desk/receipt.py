"""The four steps of what somebody has sent: sent, decided, in Kafka, answered by Spectrum.

Each is shown as done only where history, the state or Kafka itself says so.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from contracts.budget_key import BudgetKey
from contracts.outbound import BudgetStatus
from desk.history import Entry, tell
from desk.page import Page
from desk.published import find_unpublished
from desk.sent_acts import SentAct
from handlers.budget import Budget, Status
from handlers.decision import Verdict, describe_status
from outbox.people import PeopleMessage
from outbox.story import Sent

LATE_SECONDS: Final = 15
"""From then on the receipt says that nothing needs to be done again, however long it takes."""

_EXPORTS: Final = {"spectrum.export.v1", "spectrum.resync.v1"}
_OPEN: Final = {Verdict.PARKED, Verdict.WAITING, Verdict.HELD}
"""Verdicts that another one will replace."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one message, as far as it is known."""

    key: BudgetKey
    sent: SentAct | None
    found: PeopleMessage | None
    budget: Budget | None
    is_published: bool | None
    """Whether Kafka has what was sent because of it; ``None`` where that cannot be found out now."""
    now: datetime

    @property
    def entry(self) -> Entry | None:
        """The message in words."""
        return tell(self.found.received) if self.found else None

    @property
    def waits_seconds(self) -> int:
        """How long there has been no verdict, as far as the address says."""
        return int((self.now - self.sent.at).total_seconds()) if self.sent and not self.found else 0

    @property
    def is_late(self) -> bool:
        """Whether it takes longer than it should."""
        return self.waits_seconds >= LATE_SECONDS

    @property
    def code(self) -> str:
        """The code of the refusal; empty where it was not refused."""
        received = self.found.received if self.found else None
        return received.detail.partition(": ")[0] if received and received.verdict == Verdict.REFUSED else ""

    @property
    def sentence(self) -> str:
        """What history says about the verdict, without the code."""
        detail = self.found.received.detail if self.found else ""
        return detail.removeprefix(f"{self.code}: ") if self.code else detail

    @property
    def export(self) -> Sent | None:
        """The export that went out because of it."""
        return next((one for one in self.found.received.sent if one.type in _EXPORTS), None) if self.found else None

    @property
    def status(self) -> BudgetStatus | None:
        """The status of the budget."""
        return describe_status(self.budget) if self.budget else None

    @property
    def is_answered(self) -> bool:
        """Whether Spectrum has answered the export, or it no longer matters."""
        exporting = self.budget and self.budget.status is Status.EXPORTING
        return self.export is not None and not (exporting and self.is_current)

    @property
    def is_current(self) -> bool:
        """Whether the export is the last one that the budget has sent."""
        last = self.budget.unanswered or self.budget.base if self.budget else None
        reference = self.export.reference if self.export else None
        return last is not None and reference == f"B{last.reference:07d}" and self.export_attempt == last.attempt

    @property
    def export_attempt(self) -> int | None:
        """The attempt of the export."""
        return self.export.attempt if self.export else None

    @property
    def asks_again_seconds(self) -> int | None:
        """After how many seconds the page asks again; ``None`` once nothing more is to come."""
        if self.found is None:
            return 1 if self.waits_seconds < 60 else 5  # noqa: PLR2004 - after a minute nobody looks each second
        if self.found.received.verdict in _OPEN:
            return 10
        if self.is_answered or not self.found.received.sent:
            return None
        if self.is_published is False:
            return 1
        return None if self.is_published and self.export is None else 10


async def find_out_whether_published(page: Page, budget: Budget | None, found: PeopleMessage | None) -> bool | None:
    """Find out whether Kafka has what was sent because of a message: history has it before it is published."""
    if found is None:
        return None
    unpublished = await find_unpublished(page, found.key, budget, [found.received.place])
    return None if unpublished is None else found.received.place not in unpublished
