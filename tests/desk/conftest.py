from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
import structlog
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute

from contracts.inbound import InboundMessage
from desk.app import make_app
from desk.forms import Forms
from desk.identity import Found, Person
from desk.services import Services
from desk.settings import DeskSettings
from handlers.rules import Rules
from outbox.database import Connection, connect
from outbox.migrate import migrate
from outbox.position import Position, start_position
from outbox.reader import Reader
from outbox.rules import put_in_force
from outbox.store import store_batch
from tests.integration.records import TOPICS, arrive
from tests.unit.builders import RULES
from worker.kafka.connection import KafkaConnection
from worker.kafka.producer import Appender
from worker.settings import read_settings

NOW = datetime(2026, 11, 24, 14, tzinfo=UTC)
SECRET = "s" * 32
LOG = structlog.get_logger()
OPERATORS: Mapping[tuple[int, int | None], frozenset[str]] = {(4211, None): frozenset({"olga"})}


class Visitor:
    """An identity that takes everybody for the person whom a header names."""

    routes: tuple[BaseRoute, ...] = ()

    async def find_person(self, connection: HTTPConnection) -> Found | None:
        user = connection.headers.get("x-test-user")
        return Found(Person(user, "https://id.example", user, NOW)) if user else None


@dataclass
class Desk:
    """A desk on a database of its own, and the lane that fills it."""

    connection: Connection
    position: Position
    client: httpx2.AsyncClient
    services: Services
    offset: int = field(default=0)

    async def receive(self, *bodies: InboundMessage | bytes) -> None:
        """Let messages come in, one after another."""
        for body in bodies:
            arrivals = [arrive(self.offset, body)]
            self.position, _ = await store_batch(self.connection, self.position, arrivals, TOPICS)
            self.offset += 1

    async def get(self, path: str, user: str | None = "ann", **headers: str) -> httpx2.Response:
        """Load a page as somebody."""
        return await self.client.get(path, headers=headers | ({"x-test-user": user} if user else {}))

    async def apply_rules(self, rules: Rules) -> None:
        """Put other rules in force."""
        await put_in_force(self.connection, rules, "test", "test")


@pytest.fixture
def desk_settings(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DeskSettings:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "127.0.0.1:9")
    monkeypatch.setenv("DESK_URL", "https://desk.example")
    monkeypatch.setenv("DESK_DATABASE_URL", database_url)
    (tmp_path / "secret").write_text(SECRET)
    monkeypatch.setenv("DESK_SECRET_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("TOPIC_PREFIX", TOPICS.prefix)
    return read_settings(DeskSettings)


@pytest.fixture
async def desk(database_url: str, desk_settings: DeskSettings) -> AsyncIterator[Desk]:
    session = await connect(database_url)
    await migrate(session)
    await put_in_force(session, RULES, "test", "test")
    position = await start_position(session, 0, 0, uuid4())
    reader, kafka = Reader(database_url), KafkaConnection("127.0.0.1:9")
    now: Callable[[], datetime] = lambda: NOW  # noqa: E731 - a clock that stands
    services = Services(reader, kafka, Appender(kafka), now, Visitor(), lambda: OPERATORS, Forms([SECRET], now), LOG)
    transport = httpx2.ASGITransport(make_app(desk_settings, services), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="https://desk.example") as client:
        yield Desk(session, position, client, services)
    await reader.close()
    await session.close()
