"""The bridge as its neighbours see it: a client that writes to its source topics and reads its output topics.

A scenario expects every message that the bridge sends; those that none expected are found at the end.
"""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import uuid4

from contracts.budget_key import BudgetKey
from contracts.cloudevents.writing import write_attributes
from contracts.fields import write_time
from contracts.records import Outgoing, Record
from contracts.signature.signing import PrivateKey, sign_headers
from contracts.topics import SOURCES, TopicNames
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.producer import Appender

PATIENCE_SECONDS: Final = 30.0

Data = dict[str, Any]


class UnexpectedError(Exception):
    """The bridge did not do what a scenario expects; the message names what is missing."""


@dataclass(slots=True)
class Sent:
    """One message that the bridge sent."""

    type: str
    """For a dead letter its reason."""
    id: str
    key: str
    data: Data
    is_dead_letter: bool = False
    was_expected: bool = False
    """Whether a scenario has expected it."""


class Written(NamedTuple):
    """One message to the bridge; for its fields see ``BridgeClient.send``."""

    kind: str
    budget: BudgetKey
    version: int | None
    data: Data
    message_id: str


@dataclass(slots=True)
class BridgeClient:
    """Writes what upstream systems and people send, and reads everything that the bridge sends."""

    topics: TopicNames
    appender: Appender
    reader: Consumer
    keys: Mapping[str, PrivateKey]
    """Who signs which type of message."""
    read_status: Callable[[BudgetKey], Awaitable[Data]]
    """Runs ``budget-bridge status BUDGET --json``."""
    sent: list[Sent] = field(default_factory=list)
    """What the bridge has sent so far."""

    async def send(
        self, kind: str, budget: BudgetKey, version: int | None, data: Data, message_id: str | None = None
    ) -> str:
        """Send a message to the bridge.

        Args:
            kind: its type; the contract knows the topic.
            budget: the budget that it is about.
            version: the version that it is about; ``None`` if it is about the budget as a whole.
            data: the other fields.
            message_id: its id, by default a new one.

        Returns:
            The message's id.
        """
        message_id = message_id or str(uuid4())
        await self.appender.append([self.write(kind, budget, version, data, message_id, self.keys.get(kind))])
        return message_id

    def write(
        self, kind: str, budget: BudgetKey, version: int | None, data: Data, message_id: str, key: PrivateKey | None
    ) -> Outgoing:
        """Write the record of a message, signed with a key if there is one; the rest is as for ``send``."""
        written = Written(kind, budget, version, data, message_id)
        return write_message(self.topics, written, datetime.now(UTC), key)

    async def expect(self, kind: str, budget: BudgetKey, **fields: object) -> Data:
        """Wait for a message of the bridge that no scenario has expected yet.

        Args:
            kind: its type.
            budget: the budget that it is about.
            fields: what some of its fields hold.

        Returns:
            Its data.

        Raises:
            UnexpectedError: it was not sent in time.
        """

        def find() -> Sent | None:
            return next((one for one in self.sent if not one.was_expected and is_it(one)), None)

        def is_it(one: Sent) -> bool:
            return (one.type, one.key) == (kind, str(budget)) and fields.items() <= one.data.items()

        await self.wait_until(lambda: find() is not None, f"{kind} of budget {budget} with {fields or 'any content'}")
        found = find()
        assert found is not None  # noqa: S101 - waited for
        found.was_expected = True
        return found.data

    async def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Read what the bridge sends until a condition holds.

        Args:
            holds: the condition.
            what: what is waited for, for the error message.

        Raises:
            UnexpectedError: the condition did not hold within ``PATIENCE_SECONDS``.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > until:
                raise UnexpectedError(f"did not see {what} within {PATIENCE_SECONDS:.0f} s")
            await self.read()

    async def read(self) -> list[Sent]:
        """Read what the bridge has sent since; returns at once if there is anything."""
        new = [read_sent(record) for record in await self.reader.fetch_any(500, 0.05)]
        self.sent.extend(new)
        return new

    async def wait_for_verdict(self, budget: BudgetKey, message_id: str, verdict: str) -> None:
        """Wait until the bridge's history holds a verdict on a message.

        Raises:
            UnexpectedError: it did not within ``PATIENCE_SECONDS``.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            history = (await self.read_status(budget)).get("history", [])
            if any((one["id"], one["verdict"]) == (message_id, verdict) for one in history):
                return
        raise UnexpectedError(f"did not see the verdict {verdict} on {message_id} within {PATIENCE_SECONDS:.0f} s")

    def list_sent(self, kind: str, budget: BudgetKey) -> list[Data]:
        """List the messages of one type that the bridge sent about a budget, in order."""
        return [one.data for one in self.sent if (one.type, one.key) == (kind, str(budget))]


def connect_bridge(
    connection: KafkaConnection,
    topics: TopicNames,
    keys: Mapping[str, PrivateKey],
    read_status: Callable[[BudgetKey], Awaitable[Data]],
) -> BridgeClient:
    """Make a client of the bridge; the caller must start its reader."""
    reader = Consumer(connection, f"demo-{uuid4()}", topics.outputs, start="earliest")
    return BridgeClient(topics, Appender(connection), reader, keys, read_status)


def write_message(topics: TopicNames, message: Written, at: datetime, key: PrivateKey | None) -> Outgoing:
    """Write the record of a message that is sent at a time, signed with a key if there is one."""
    topic = next(topic for topic, models in SOURCES.items() if any(model.type == message.kind for model in models))
    subject = str(message.budget)
    headers = write_attributes(message.kind, "demo", message.message_id, time=write_time(at), subject=subject)
    value = json.dumps({**message.budget._asdict(), "budget_version": message.version, **message.data}).encode()
    signed = sign_headers(headers, value, key) if key else headers
    return Outgoing(topics.full(topic), subject.encode(), value, signed)


def read_sent(record: Record | Outgoing) -> Sent:
    """Read a message that the bridge sent."""
    headers = {name: (value or b"").decode() for name, value in record.headers}
    reason = headers.get("dead_letter_reason")
    return Sent(
        reason or headers["ce_type"],
        headers.get("ce_id", ""),
        (record.key or b"").decode(),
        json.loads(record.value or b"null"),
        is_dead_letter=reason is not None,
    )
