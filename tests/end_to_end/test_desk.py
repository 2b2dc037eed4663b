"""The whole way through: a click at the desk, Kafka, the worker, and what the desk then says, live."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
import uvicorn

from contracts.topics import SOURCES, TopicNames
from demo.server_process import choose_ports
from desk.app import make_app
from desk.forms import Forms
from desk.services import Services
from desk.settings import DeskSettings
from outbox.reader import Reader
from tests.desk.acting import BUDGET, find_token
from tests.desk.conftest import SECRET, Visitor
from tests.end_to_end.harness import PATIENCE_SECONDS, Bridge
from tests.unit.builders import KEY, acknowledge, lock
from worker.kafka.connection import KafkaConnection
from worker.kafka.producer import Appender
from worker.kafka.topic_rights import list_writable
from worker.settings import read_settings

ANN = {"x-test-user": "ann", "sec-fetch-site": "same-origin"}
OPERATORS: Mapping[tuple[int, int | None], frozenset[str]] = {(4211, None): frozenset({"olga"})}


@dataclass
class OpenDesk:
    client: httpx2.AsyncClient
    app: Any

    async def read(self, path: str) -> str:
        answer = await self.client.get(path, headers=ANN)
        assert answer.status_code == 200, answer.text
        return unescape(answer.text)

    async def read_until(self, path: str, *texts: str) -> str:
        """Load a page again until it has these texts."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                page = await self.read(path)
                if all(text in page for text in texts):
                    return page
                await asyncio.sleep(0.1)


def make_settings(bridge: Bridge, url: str, folder: Path) -> DeskSettings:
    (folder / "secret").write_text(SECRET)
    environment = {
        "KAFKA_BOOTSTRAP": bridge.kafka,
        "KAFKA_GROUP_ID": bridge.environment["KAFKA_GROUP_ID"],
        "TOPIC_PREFIX": bridge.prefix,
        "DESK_URL": url,
        "DESK_DATABASE_URL": bridge.database_url,
        "DESK_SECRET_FILE": str(folder / "secret"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return read_settings(DeskSettings)


@asynccontextmanager
async def open_desk(bridge: Bridge, folder: Path) -> AsyncIterator[OpenDesk]:
    """Serve a desk on a port, which follows Kafka."""
    [port] = choose_ports(1)
    url = f"http://127.0.0.1:{port}"
    reader, kafka = Reader(bridge.database_url), KafkaConnection(bridge.kafka)
    appender = Appender(kafka)
    now, log = (lambda: datetime.now(UTC)), structlog.get_logger()
    services = Services(reader, kafka, appender, now, Visitor(), lambda: OPERATORS, Forms([SECRET], now), log)
    app = make_app(make_settings(bridge, url, folder), services)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="off")
    )
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(server._serve()), asyncio.create_task(app.state.live.run(stopping))]
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), httpx2.AsyncClient(base_url=url, timeout=30) as client:
            while not server.started or app.state.live.problem is not None:
                assert not any(task.done() for task in tasks)
                await asyncio.sleep(0.05)
            yield OpenDesk(client, app)
    finally:
        stopping.set()
        server.should_exit = server.force_exit = True
        await asyncio.gather(*tasks)
        await appender.close(1.0)
        await reader.close()


async def test_a_click_goes_the_whole_way_and_is_told_live(bridge: Bridge, tmp_path: Path) -> None:
    bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    async with open_desk(bridge, tmp_path) as desk, desk.client.stream("GET", "/live", headers=ANN) as stream:
        page = await desk.read_until(BUDGET, "You may accept")
        answer = await desk.client.post(f"{BUDGET}/acts/accept", data={"token": find_token(page)}, headers=ANN)
        assert answer.status_code == 303, answer.text
        receipt = answer.headers["location"]
        await desk.read_until(receipt, "accepted by ann", "it is in Kafka", "It has not answered yet")
        async with asyncio.timeout(PATIENCE_SECONDS):
            told = ""
            async for text in stream.aiter_text():
                told += text
                if f"event: changed\r\ndata: {KEY}" in told:
                    break
        assert told.startswith("event: kafka\r\ndata: followed")
        await bridge.wait_for("spectrum.export.v1", approved_by="ann")
        await bridge.send(acknowledge("success"))
        await desk.read_until(receipt.partition("?")[0], "Spectrum took it whole")


async def test_the_brokers_say_where_one_may_write(bridge: Bridge) -> None:
    topics = TopicNames(bridge.prefix)
    asked = [*topics.sources, topics.full("not-there")]
    assert await list_writable(KafkaConnection(bridge.kafka), asked) == {topics.full(name) for name in SOURCES}
