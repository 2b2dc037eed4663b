"""The demo's view of the outside: it appends what upstream would, and watches every topic that the worker writes.

Whatever the worker sends must be expected by a story; what nobody expected is found at the end.
"""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from rich.console import Console

from contracts.budget_key import BudgetKey
from contracts.cloudevents.writing import write_attributes
from contracts.fields import write_time
from contracts.records import Outgoing, Record
from contracts.topics import OUTPUTS, SOURCES
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.producer import Appender

PATIENCE_SECONDS: Final = 30.0

Data = dict[str, Any]


class NotAsExpectedError(Exception):
    """The worker did not do what a story expects; the message says what is missing."""


@dataclass(slots=True)
class Sight:
    """One record that the worker sent, and whether a story has expected it."""

    topic: str
    type: str
    id: str
    key: str
    data: Data
    expected: bool = False


@dataclass(slots=True)
class Stage:
    """Where the stories are played."""

    console: Console
    topic_prefix: str
    appender: Appender
    reader: Consumer
    ask_status: Callable[[BudgetKey], Awaitable[Data]]
    """Asks `budget-bridge status --json` for a budget's story."""
    sights: list[Sight] = field(default_factory=list)
    checks: list[tuple[str, bool]] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    async def send(self, kind: str, budget: BudgetKey, version: int, data: Data, message_id: str | None = None) -> str:
        """Append a message as the outside would, and tell it; returns its id."""
        message_id = message_id or str(uuid4())
        topic = next(topic for topic, models in SOURCES.items() if any(model.type == kind for model in models))
        headers = write_attributes(kind, "demo", message_id, time=write_time(datetime.now(UTC)))
        value = json.dumps({**budget._asdict(), "budget_version": version, **data}).encode()
        await self.appender.append([Outgoing(self.topic_prefix + topic, str(budget).encode(), value, headers)])
        return message_id

    async def expect(self, kind: str, budget: BudgetKey, **fields: object) -> Data:
        """Wait for a message of the worker that nobody has expected yet; raises ``NotAsExpectedError``."""

        def fits(sight: Sight) -> bool:
            return (
                not sight.expected
                and sight.type == kind
                and sight.key == str(budget)
                and all(sight.data.get(name) == value for name, value in fields.items())
            )

        found: list[Sight] = []

        def look() -> bool:
            found[:] = [sight for sight in self.sights if fits(sight)][:1]
            return bool(found)

        await self.wait_until(look, f"{kind} of budget {budget} with {fields or 'any content'}")
        found[0].expected = True
        return found[0].data

    async def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for a condition; raises ``NotAsExpectedError`` when it does not come true in time."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > until:
                message = f"did not see {what} within {PATIENCE_SECONDS:.0f} s"
                raise NotAsExpectedError(message)
            await self.watch()

    async def wait_for_verdict(self, budget: BudgetKey, message_id: str, verdict: str) -> None:
        """Wait until the worker's history has a verdict on a message; raises ``NotAsExpectedError``."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            history = (await self.ask_status(budget)).get("history", [])
            if any(told["id"] == message_id and told["verdict"] == verdict for told in history):
                return
        message = f"did not see the verdict {verdict} on {message_id} within {PATIENCE_SECONDS:.0f} s"
        raise NotAsExpectedError(message)

    async def watch(self) -> None:
        """Take in what the worker has sent since."""
        self.sights.extend(_see(record, self.topic_prefix) for record in await self.reader.fetch_any(500, 0.05))

    def tell(self, arrow: str, who: str, what: str, style: str = "") -> None:
        """Print one line of the timeline."""
        at = f"{time.monotonic() - self._began:6.2f} s"
        self.console.print(f"  [dim]{at}[/dim]  {arrow} [bold]{who:<9}[/bold] ", end="")
        self.console.print(what, style=style, markup=False, highlight=False, soft_wrap=True)

    def check(self, what: str, *, holds: bool) -> None:
        """Note a thing that must hold, and show it."""
        self.checks.append((what, holds))
        self.tell(" ", "check", f"{'✓' if holds else '✗'} {what}", style="green" if holds else "bold red")


def list_output_topics(topic_prefix: str) -> list[str]:
    """List what the demo watches: every topic that the worker writes for others."""
    return [topic_prefix + name for name in OUTPUTS]


def open_stage(
    console: Console, connection: KafkaConnection, topic_prefix: str, ask_status: Callable[[BudgetKey], Awaitable[Data]]
) -> Stage:
    """Open a stage on a broker; its reader must be started."""
    reader = Consumer(connection, f"demo-{uuid4()}", list_output_topics(topic_prefix), start="earliest")
    return Stage(console, topic_prefix, Appender(connection), reader, ask_status)


def _see(record: Record, topic_prefix: str) -> Sight:
    headers = {name: (value or b"").decode() for name, value in record.headers}
    return Sight(
        record.place.topic.removeprefix(topic_prefix),
        headers.get("dead_letter_reason") or headers["ce_type"],
        headers.get("ce_id", ""),
        (record.key or b"").decode(),
        json.loads(record.value or b"null"),
    )
