"""Servers that cannot be reached are down, within a time limit, however they fail: names, refusals, silence."""

import asyncio
import io
from collections.abc import AsyncIterator

import pytest

from outbox import database
from outbox.database import DatabaseDown, connect
from worker.kafka import connection
from worker.kafka.admin import count_partitions
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.errors import KafkaDown
from worker.kafka.group_offsets import read_group_offsets
from worker.kafka.producer import Publisher
from worker.telemetry.logs import LOST_LINES, ToleratedStream

NO_NAME = "no-such-host.invalid"
"""Reserved by RFC 2606: it never resolves."""


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """A server that accepts connections and never answers."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@pytest.mark.parametrize("server", [NO_NAME, "127.0.0.1:9"])
async def test_a_database_that_is_not_found_or_refuses_is_down(server: str) -> None:
    with pytest.raises(DatabaseDown):
        await connect(f"postgresql://user:secret@{server}/name")


async def test_a_silent_database_is_down_within_the_time_limit(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.2)
    with pytest.raises(DatabaseDown, match="TimeoutError"):
        async with asyncio.timeout(5):
            await connect(f"postgresql://user:secret@{silent}/name")


async def test_the_next_host_is_tried_when_one_refuses(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the silent second host can run into the time limit, so it was tried."""
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.2)
    with pytest.raises(DatabaseDown, match="TimeoutError"):
        await connect(f"postgresql://user:secret@127.0.0.1:9,{silent}/name")


async def test_a_broker_whose_name_does_not_resolve_is_down() -> None:
    with pytest.raises(KafkaDown, match=NO_NAME):
        await count_partitions(KafkaConnection(f"{NO_NAME}:9092"), ["any"])


async def test_a_silent_broker_is_down_within_the_time_limit(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SERVER_SECONDS", 0.2)
    kafka = KafkaConnection(silent)
    async with asyncio.timeout(5):
        for asking in (
            count_partitions(kafka, ["any"]),
            read_group_offsets(kafka, "group", [("any", 0)]),
            Publisher(kafka, "lane", "group", ("any", 0)).start(),
            Consumer(kafka, "group", ["any"], start="none").start(),
        ):
            with pytest.raises(KafkaDown, match=silent):
                await asking


async def test_the_first_broker_that_answers_is_used(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that is silent nor one that refuses is waited for."""
    ask = KafkaConnection.ask_server

    async def answer(kafka: KafkaConnection, server: str) -> list[int]:
        return [] if server == "good:9092" else await ask(kafka, server)

    monkeypatch.setattr(KafkaConnection, "ask_server", answer)
    kafka = KafkaConnection(f"{silent},127.0.0.1:9,good:9092")
    async with asyncio.timeout(connection.SERVER_SECONDS / 2):
        assert (await kafka.find_server()).servers == ["good:9092"]


def test_an_output_that_is_gone_stops_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    before = LOST_LINES._value.get()
    print("a line", file=ToleratedStream(Gone()))
    assert LOST_LINES._value.get() > before
