"""Servers that cannot be reached are down, within a time limit, however they fail: names, refusals, silence."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from outbox import database
from outbox.database import DatabaseDown, connect
from worker.kafka.admin import count_partitions
from worker.kafka.connection import KafkaConnection
from worker.kafka.errors import KafkaDown
from worker.kafka.group_offsets import read_group_offsets
from worker.kafka.producer import Publisher

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


async def test_a_silent_broker_does_not_hold_up_the_start_of_a_lane(silent: str) -> None:
    kafka = KafkaConnection(silent)
    publisher = Publisher(kafka, "lane")
    async with asyncio.timeout(5):
        with pytest.raises(KafkaDown):
            await publisher.start(within=0.2)
        await publisher.close(1.0)
        with pytest.raises(KafkaDown):
            await read_group_offsets(kafka, "group", [("any", 0)], within=0.2)
