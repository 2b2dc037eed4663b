"""What servers, outputs and signals do to a worker, as far as it shows without servers: docs/operations.md lists it."""

import asyncio
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import asyncpg
import pytest
from aiokafka.errors import CoordinatorLoadInProgressError, NotCoordinatorError

from outbox import database
from outbox.database import DatabaseDown, DatabaseRefused, connect
from tests.integration.records import arrive
from tests.unit.builders import lock
from tests.unit.fakes import Log, Script
from worker import app
from worker.app import _listen_for_signals
from worker.doctor import brokers
from worker.doctor.brokers import _check_server
from worker.kafka import connection, group_offsets
from worker.kafka.admin import count_partitions
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.errors import KafkaDown
from worker.kafka.group_offsets import GroupOffset, Partition, read_group_offsets
from worker.kafka.producer import Publisher
from worker.kafka.server_errors import ServerDown, ServerProblem
from worker.resilience.backoff import run_unless
from worker.settings import ConfigurationError, KafkaSettings, TracesSettings, read_settings
from worker.shutdown import Shutdown
from worker.telemetry.otlp_tracing import EXPORT_SECONDS
from worker.telemetry.tracing import open_traces

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
    with pytest.raises(DatabaseDown, match="no answer in time"):
        async with asyncio.timeout(5):
            await connect(f"postgresql://user:secret@{silent}/name")


async def test_the_next_host_is_tried_when_one_refuses(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the silent second host can run into the time limit, so it was tried."""
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.2)
    with pytest.raises(DatabaseDown, match="no answer in time"):
        await connect(f"postgresql://user:secret@127.0.0.1:9,{silent}/name")


async def test_the_next_host_is_tried_while_one_is_silent(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    session = MagicMock()

    async def answer(url: str, **_: object) -> object:
        asked.append(url)
        if silent in url:
            await asyncio.Event().wait()
        return session

    monkeypatch.setattr(asyncpg, "connect", answer)
    monkeypatch.setattr(database, "NEXT_HOST_SECONDS", 0.05)
    assert await connect(f"postgresql://user:secret@{silent},second,third:5433/name?sslmode=disable") is session
    assert asked == [
        f"postgresql://user:secret@{silent}/name?sslmode=disable",
        "postgresql://user:secret@second:5432/name?sslmode=disable",
    ]


async def test_when_no_host_answers_the_problem_of_each_is_named(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.2)
    with pytest.raises(DatabaseDown, match=rf"127\.0\.0\.1:9 does not answer.*; Postgres at {silent} does not answer"):
        await connect(f"postgresql://user:secret@127.0.0.1:9,{silent}/name")


async def test_a_file_that_is_gone_is_named_when_no_session_can_be_opened(tmp_path: Path) -> None:
    url = f"postgresql://user:secret@127.0.0.1:9/name?sslmode=require&sslrootcert={tmp_path}/gone.pem"
    with pytest.raises(DatabaseRefused, match=r"DATABASE_URL: sslrootcert: there is no file .*gone\.pem"):
        await connect(url)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Which address each host name has; others are resolved as always."""
    addresses: dict[str, str] = {}
    resolve = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        return resolve(addresses.get(host, host), *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return addresses


async def test_a_name_is_resolved_for_each_connection(names: dict[str, str]) -> None:
    callers: list[str] = []

    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer.get_extra_info("sockname")[0])
        writer.close()

    first = await asyncio.start_server(close, "127.0.0.1", 0)
    port = first.sockets[0].getsockname()[1]
    second = await asyncio.start_server(close, "127.0.0.2", port)
    async with first, second:
        for address in ("127.0.0.1", "127.0.0.2"):
            names["moved.example"] = address
            with pytest.raises(DatabaseDown):
                await connect(f"postgresql://user:secret@moved.example:{port}/name?sslmode=disable")
            with pytest.raises(ServerDown):
                await KafkaConnection(f"moved.example:{port}").find_server()
    assert callers == ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2"]


async def test_a_resolver_that_does_not_answer_costs_the_time_limit_and_not_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait(30))
    monkeypatch.setattr(database, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(connection, "SERVER_SECONDS", 0.2)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(DatabaseDown, match="no answer in time"):
                await connect("postgresql://user:secret@slow.example/name")
            with pytest.raises(ServerDown, match="does not answer"):
                await KafkaConnection("slow.example:9092").find_server()
    finally:
        answer.set()


async def test_without_file_descriptors_a_server_counts_as_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(DatabaseDown, match="Too many open files"):
        await connect("postgresql://user:secret@127.0.0.1/name")
    with pytest.raises(ServerDown, match="Too many open files"):
        await KafkaConnection("127.0.0.1:9092").find_server()


def test_traces_without_their_extra_end_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "worker.telemetry.otlp_tracing", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    with pytest.raises(ConfigurationError, match=r"budget-bridge\[traces\]"):
        open_traces(read_settings(TracesSettings), "group")


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


async def test_the_stop_does_not_wait_for_a_silent_server(silent: str) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().call_later(0.1, stopping.set)
    async with asyncio.timeout(connection.SERVER_SECONDS / 2):
        assert await run_unless(stopping, KafkaConnection(silent).find_server()) is None


async def test_a_second_sigterm_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Script(None)
    monkeypatch.setattr(app, "end_process_later", lambda _: ends.answer())
    log: Any = Log()
    shutdown, loop = Shutdown(log), asyncio.get_running_loop()
    _listen_for_signals(shutdown, log)
    try:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(5):
                await shutdown.requested.wait()
        await asyncio.sleep(0)
        assert ends.calls == 1
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


async def test_a_collector_of_traces_that_is_down_delays_the_stop_no_longer_than_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    traces = open_traces(read_settings(TracesSettings), "group")
    lock_record = arrive(0, lock())
    [arrival] = traces.begin([lock_record])
    assert arrival.message != lock_record.message
    traces.drop(lock_record.inbox.place.partition)
    async with asyncio.timeout(EXPORT_SECONDS + 5):
        await asyncio.to_thread(traces.close)


async def test_a_coordinator_that_is_loading_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def open_client(_: KafkaConnection) -> AsyncIterator[None]:
        yield

    offsets: dict[Partition, GroupOffset] = {("inbox", 0): GroupOffset(7, "ours")}
    script = Script(CoordinatorLoadInProgressError(), NotCoordinatorError(), offsets)

    async def ask(*_: object) -> dict[Partition, GroupOffset]:
        answer: dict[Partition, GroupOffset] = script.answer()
        return answer

    monkeypatch.setattr(group_offsets, "open_client", open_client)
    monkeypatch.setattr(group_offsets, "_ask_coordinator", ask)
    assert await read_group_offsets(KafkaConnection("any:9092"), "group", [("inbox", 0)]) == offsets
    monkeypatch.setattr(group_offsets, "_ask_coordinator", AsyncMock(side_effect=CoordinatorLoadInProgressError()))
    with pytest.raises(KafkaDown):
        await read_group_offsets(KafkaConnection("any:9092"), "group", [("inbox", 0)], 0.2)


async def test_a_broker_without_transactions_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KafkaConnection, "ask_server", AsyncMock(return_value=[8, 9, 11]))
    check = await _check_server(KafkaConnection("old:9092"), "old:9092")
    assert (check.state, "does not support InitProducerId, AddPartitionsToTxn" in check.found) == ("error", True)
    assert "Apache Kafka 2.5 or later" in check.to_do


async def test_a_broker_whose_advertised_address_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bootstrap server answers and names a broker at an address that does not."""

    async def list_missing(_: KafkaConnection, server: str) -> list[str]:
        if server == "inside:9092":
            raise ServerDown([ServerProblem(f"{server} does not answer", "check the network")])
        return []

    monkeypatch.setattr(brokers, "list_missing_requests", list_missing)
    monkeypatch.setattr(brokers, "list_brokers", AsyncMock(return_value=["inside:9092"]))
    monkeypatch.setattr(brokers, "describe_topics", AsyncMock(side_effect=KafkaDown("no broker answers")))
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "outside:9092")
    found = []
    with pytest.raises(KafkaDown):
        async for check in brokers.check_kafka(read_settings(KafkaSettings), None):
            found.append(check)  # noqa: PERF401 - an error ends the checks
    assert [check.state for check in found] == ["ok", "ok", "error"]
    assert (found[-1].found, found[-1].to_do) == (
        "inside:9092 does not answer",
        "start that broker, or fix its advertised.listeners",
    )


async def test_sighup_is_ignored_and_logged() -> None:
    logged: asyncio.Queue[str] = asyncio.Queue()

    class Queued:
        def info(self, event: str, **_: object) -> None:
            logged.put_nowait(event)

    log: Any = Queued()
    shutdown, loop = Shutdown(log), asyncio.get_running_loop()
    _listen_for_signals(shutdown, log)
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(5):
            assert await logged.get() == "signal.ignored"
        assert not shutdown.requested.is_set()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
