"""The wire of the chaos runs really disturbs connections; otherwise those runs would prove nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from demo.server_process import choose_ports
from tests.exactly_once.proxy import Proxy


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(1000):
            writer.write(chunk.upper())
    writer.close()


@pytest.fixture
async def wire() -> AsyncIterator[tuple[Proxy, int]]:
    behind, before = choose_ports(2)
    server = await asyncio.start_server(echo, "127.0.0.1", behind)
    proxy = Proxy("127.0.0.1", behind)
    await proxy.start(before)
    yield proxy, before
    await proxy.close()
    server.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: bytes) -> bytes:
    writer.write(what)
    return await asyncio.wait_for(reader.read(1000), 5.0)


async def has_ended(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(1000), 5.0) == b""
    return True


async def test_it_passes_on_and_can_be_cut(wire: tuple[Proxy, int]) -> None:
    proxy, port = wire
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await ask(reader, writer, b"one") == b"ONE"
    proxy.cut()
    assert await has_ended(reader)
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await ask(reader, writer, b"three") == b"THREE"
    writer.close()


async def test_it_moves_to_another_port(wire: tuple[Proxy, int]) -> None:
    proxy, port = wire
    (other,) = choose_ports(1)
    await proxy.start(other)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await ask(reader, writer, b"one") == b"ONE"
    proxy.leave(port)
    assert await has_ended(reader)
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    reader, writer = await asyncio.open_connection("127.0.0.1", other)
    assert await ask(reader, writer, b"two") == b"TWO"
    writer.close()


@pytest.mark.parametrize(("to_server", "to_client"), [(True, False), (False, True), (True, True)])
async def test_what_is_blocked_stays_silent_until_it_is_healed(
    wire: tuple[Proxy, int],
    to_server: bool,  # noqa: FBT001
    to_client: bool,  # noqa: FBT001
) -> None:
    proxy, port = wire
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await ask(reader, writer, b"one") == b"ONE"
    proxy.block(to_server=to_server, to_client=to_client)
    writer.write(b"two")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1000), 0.2)
    proxy.heal()
    # The stream has lost what was in its middle, so both ends are closed.
    assert await has_ended(reader)
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await ask(reader, writer, b"three") == b"THREE"
    writer.close()
