"""The desk as a server on a real port, over a database with the seeds of the demo."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
import uvicorn

from demo.desk_rules import CHARACTERS
from demo.scene import COMPANY, OPERATOR
from demo.server_process import choose_ports
from desk.app import make_app
from desk.forms import Forms
from desk.identity_demo import DemoIdentity, DemoPerson
from desk.services import Services
from desk.settings import DeskSettings
from outbox.database import connect
from outbox.dead_letters import DeadLetterFilter, list_dead_letters
from outbox.reader import Reader
from tests.desk.conftest import SECRET
from tests.desk.world import TOPICS, World, open_world, plant
from worker.kafka.connection import KafkaConnection
from worker.kafka.producer import Appender
from worker.key_files import read_key_file
from worker.settings import read_settings

NOW = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
NO_KAFKA = "127.0.0.1:9"


@dataclass(frozen=True)
class Served:
    """A desk that is served, and the world that it shows."""

    url: str
    world: World
    letters: Mapping[str, str]
    """The id of a dead letter by its reason."""


@asynccontextmanager
async def serve_desk(database_url: str, folder: Path, kafka: str = NO_KAFKA) -> AsyncIterator[Served]:
    """Serve the desk over a database that has the seeds.

    Args:
        database_url: an empty database.
        folder: for the rules.
        kafka: bootstrap address; by default one at which nobody listens.
    """
    session = await connect(database_url)
    world = await open_world(session, folder)
    await plant(world)
    listed = await list_dead_letters(session, TOPICS.dead_letters, DeadLetterFilter(), None)
    letters = {letter.reason: str(letter.id) for letter in listed}
    (port,) = choose_ports(1)
    url = f"http://127.0.0.1:{port}"
    reader, connection = Reader(database_url), KafkaConnection(kafka)
    appender = Appender(connection)
    operators: Mapping[tuple[int, int | None], frozenset[str]] = {(COMPANY, None): frozenset({OPERATOR})}
    identity = DemoIdentity([DemoPerson(*one) for one in CHARACTERS], [SECRET], read_now, url)
    forms, log = Forms([SECRET], read_now), structlog.get_logger()
    key = read_key_file("DESK_KEY_FILE", folder / "desk-demo.jwk.json")
    services = Services(reader, connection, appender, read_now, identity, lambda: operators, forms, log, key)
    app = make_app(make_settings(database_url, url, folder, kafka), services)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    try:
        while not server.started:
            assert not serving.done(), serving.exception()
            await asyncio.sleep(0.01)
        yield Served(url, world, letters)
    finally:
        server.should_exit = server.force_exit = True
        await serving
        await appender.close(1.0)
        await reader.close()
        await session.close()


def read_now() -> datetime:
    """Read the clock of the desk, which stands."""
    return NOW


def make_settings(database_url: str, url: str, folder: Path, kafka: str) -> DeskSettings:
    """Make the settings of a desk at an address."""
    (folder / "secret").write_text(SECRET)
    environment = {
        "KAFKA_BOOTSTRAP": kafka,
        "TOPIC_PREFIX": TOPICS.prefix,
        "DESK_URL": url,
        "DESK_DATABASE_URL": database_url,
        "DESK_SECRET_FILE": str(folder / "secret"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return read_settings(DeskSettings)
