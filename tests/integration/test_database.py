"""Checks of the server, the database and the role, on a real Postgres."""

import asyncio
import socket
import time
from urllib.parse import urlsplit

import pytest

from outbox.database import Connection, DatabaseDown, DatabaseRefused, connect
from outbox.migrate import migrate
from outbox.position import Position
from outbox.server import DatabaseUnfit, check_server, list_server_problems, read_server
from outbox.store import store_batch
from tests.exactly_once.proxy import Proxy
from tests.integration.records import TOPICS, arrive


def rename(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def test_a_server_as_it_should_be_is_taken(connection: Connection) -> None:
    state = await read_server(connection)
    assert list_server_problems(state) == []
    assert (state.encoding, state.transaction_timeout, state.search_path) == ("UTF8", "6s", "public, pg_temp")
    await check_server(connection)


async def test_a_database_of_another_encoding_is_refused_before_anything_is_written(database_url: str) -> None:
    # On a busy machine, creating and dropping a database takes longer than a transaction may.
    connection = await connect(database_url, transaction_seconds=None)
    name = f"{urlsplit(database_url).path[1:]}_ascii"
    await connection.execute(f"create database {name} encoding 'SQL_ASCII' locale 'C' template template0")
    other = await connect(rename(database_url, name))
    with pytest.raises(DatabaseUnfit, match="has encoding SQL_ASCII: create it with encoding UTF8"):
        await migrate(other)
    assert await other.fetchval("select to_regclass('migrations')") is None
    await other.close()
    await connection.execute(f"drop database {name}")
    await connection.close()


async def test_a_session_without_our_settings_is_refused(connection: Connection) -> None:
    """As behind a pooler that drops them."""
    await connection.execute("set transaction_timeout = 0")
    with pytest.raises(DatabaseUnfit, match="pooler"):
        await check_server(connection)


async def test_a_database_that_is_not_there_is_named(database_url: str) -> None:
    with pytest.raises(DatabaseRefused, match=r"refuses the connection: .*nowhere.*3D000.*correct DATABASE_URL"):
        await connect(rename(database_url, "nowhere"))


async def test_a_silent_host_of_several_costs_little_time(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        parts = urlsplit(database_url)
        login, _, server = parts.netloc.rpartition("@")
        several = parts._replace(netloc=f"{login}@127.0.0.1:{silent.getsockname()[1]},{server}").geturl()
        began = time.monotonic()
        session = await connect(several)
        assert time.monotonic() - began < 3
        assert await session.fetchval("select 1") == 1
        await session.close()


@pytest.mark.parametrize("ends", ["never", "by being lost"])
async def test_a_copy_to_a_server_that_reads_no_further_ends_as_every_statement_does(
    database_url: str, position: Position, ends: str
) -> None:
    parts = urlsplit(database_url)
    assert parts.hostname
    assert parts.port
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    proxy = Proxy(parts.hostname, parts.port)
    await proxy.start(port)
    session = await connect(database_url.replace(f":{parts.port}/", f":{port}/"), 1)

    def freeze(*_: object) -> None:
        proxy.block(to_server=True, to_client=True)
        if ends == "by being lost":
            asyncio.get_running_loop().call_later(0.2, proxy.cut)

    # From now on the COPY is the first statement that waits for the server.
    position, _ = await store_batch(session, position, [arrive(0, b"small")], TOPICS)
    # More than the buffers of all sockets on the way hold.
    batch = [arrive(offset, bytes(2_000_000)) for offset in range(1, 11)]
    async with asyncio.timeout(10):
        with pytest.raises(DatabaseDown):
            await store_batch(session, position, batch, TOPICS, on_decided=freeze)
    await proxy.close()
