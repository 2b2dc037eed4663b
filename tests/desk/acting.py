"""A desk whose messages are carried to its own lane at once, and forms as a person sends them."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from html import unescape
from typing import Any
from uuid import UUID

import httpx2

from contracts.inbox import copy_to_inbox, open_arrival
from contracts.records import Outgoing, Place, Record
from desk.app import make_app
from desk.settings import DeskSettings
from outbox.store import store_batch
from tests.desk.conftest import NOW, Desk
from tests.integration.records import TOPICS
from tests.unit.builders import KEY
from tests.unit.desk_doors import SAME_ORIGIN
from worker.kafka.errors import KafkaDown

BUDGET = f"/budgets/{KEY}"
_AT = int(NOW.timestamp() * 1000)
"""When it arrives: signatures are compared with that."""


@dataclass
class Carrier:
    """Appends what the desk sends to a log that the lane of a test decides, at once or when it is told to."""

    desk: Desk
    sent: list[Outgoing] = field(default_factory=list)
    decides: bool = True
    problem: str | None = None
    """Why Kafka answers nothing."""
    loses: bool = False
    """Whether what it says it has not, it has."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def append_one(self, record: Outgoing) -> Place:
        await self.gate.wait()
        if self.problem and not self.loses:
            raise KafkaDown(self.problem)
        self.sent.append(record)
        place = Place(record.topic, 0, 1000 + len(self.sent))
        if self.decides:
            await self.decide(record, place)
        if self.problem:
            raise KafkaDown(self.problem)
        return place

    async def append(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            await self.append_one(record)

    async def decide(self, record: Outgoing, place: Place) -> None:
        """Let the lane decide a record."""
        desk = self.desk
        original = Record(place, _AT, record.key, record.value, record.headers)
        copy = copy_to_inbox(original, TOPICS.inbox)
        inbox = Record(Place(copy.topic, 0, desk.offset), _AT + desk.offset, copy.key, copy.value, copy.headers)
        desk.position, _ = await store_batch(desk.connection, desk.position, [open_arrival(inbox, TOPICS)], TOPICS)
        desk.offset += 1


@dataclass
class People:
    """People at a desk that sends."""

    desk: Desk
    carrier: Carrier
    client: httpx2.AsyncClient
    app: Any

    async def get(self, path: str, user: str = "ann", **headers: str) -> httpx2.Response:
        return await self.client.get(path, headers=headers | {"x-test-user": user})

    async def post(self, path: str, data: dict[str, Any], user: str = "ann") -> httpx2.Response:
        return await self.client.post(path, data=data, headers=SAME_ORIGIN | {"x-test-user": user})

    async def find_token(self, path: str = BUDGET, user: str = "ann") -> str:
        return find_token((await self.get(path, user)).text)

    async def act(self, name: str, user: str = "ann", token: str | None = None, **fields: Any) -> httpx2.Response:
        """Send the form of an act, with the token of its page."""
        token = token or await self.find_token(f"{BUDGET}/acts/{name}", user)
        return await self.post(f"{BUDGET}/acts/{name}", {"token": token} | fields, user)

    async def follow(self, answer: httpx2.Response, user: str = "ann") -> str:
        assert answer.status_code == 303, answer.text
        page = await self.get(answer.headers["location"], user)
        assert page.status_code == 200, page.text
        return unescape(page.text)


def find_token(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found, page
    return found[1]


def read_id(record: Outgoing) -> UUID:
    return UUID((dict(record.headers)["ce_id"] or b"").decode())


@asynccontextmanager
async def open_people(desk: Desk, settings: DeskSettings, **changes: Any) -> AsyncIterator[People]:
    """Open a desk that sends."""
    carrier = Carrier(desk)
    appender: Any = carrier
    app = make_app(settings, replace(desk.services, appender=appender, **changes))
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="https://desk.example") as client:
        yield People(desk, carrier, client, app)
