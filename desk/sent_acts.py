"""What the address of a receipt carries: that the desk has sent a message, when, and where it was put.

It is sealed, so nobody can write an address that says that something was sent. History has the rest.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.budget_key import BudgetKey, parse_budget_key
from contracts.fields import read_time, write_time
from contracts.records import Place
from desk.page import write_link
from desk.seals import Seal
from outbox.verdicts import Sender


@dataclass(frozen=True, slots=True)
class SentAct:
    """A message that the desk has sent."""

    key: BudgetKey
    id: UUID
    act: str
    version: int
    at: datetime
    place: Place

    @property
    def sender(self) -> Sender:
        """Where it was put."""
        return Sender(self.key, self.place)

    def link(self, seal: Seal) -> str:
        """Write the address of its receipt."""
        values = {
            "id": str(self.id),
            "key": str(self.key),
            "act": self.act,
            "version": self.version,
            "at": write_time(self.at),
            "place": list(self.place),
        }
        return write_link(write_receipt_path(self.key.project, self.id), sent=seal.close(values))


def write_receipt_path(project: tuple[int, int], message_id: UUID) -> str:
    """Write the path of a receipt, under which history alone is asked."""
    return f"/decisions/{project[0]}/{project[1]}/{message_id}"


def read_sent(seal: Seal, text: str, message_id: UUID) -> SentAct | None:
    """Read what an address carries; ``None`` where it carries nothing, or it is of another message."""
    values: Any = seal.open(text) if text else None
    if not values or values.get("id") != str(message_id):
        return None
    topic, partition, offset = values["place"]
    return SentAct(
        parse_budget_key(values["key"]),
        message_id,
        values["act"],
        values["version"],
        read_time(values["at"]),
        Place(topic, partition, offset),
    )
