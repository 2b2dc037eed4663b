"""A wire that can be cut: a proxy between the worker and one server that disturbs connections as networks do."""

import asyncio
import contextlib
from typing import Final

_CHUNK: Final = 64 * 1024


class Proxy:
    """Passes connections on to a server, until it cuts, blocks or slows them."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._servers: dict[int, asyncio.Server] = {}
        self._carrying: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = {"to_server": asyncio.Event(), "to_client": asyncio.Event()}
        self._delay = 0.0
        for direction in self._open.values():
            direction.set()

    async def start(self, port: int) -> None:
        """Take connections on a port; there may be several."""
        self._servers[port] = await asyncio.start_server(self._carry, "127.0.0.1", port)

    def leave(self, port: int) -> None:
        """Take no connections on a port any more, and end those that came by it."""
        self._servers.pop(port).close()
        for writer in self._writers:
            if writer.get_extra_info("sockname")[1] == port:
                writer.transport.abort()

    async def close(self) -> None:
        """Take none any more, and end those that there are."""
        for server in self._servers.values():
            server.close()
        self.heal()
        self.cut()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def cut(self) -> None:
        """End every connection; new ones are taken."""
        for writer in self._writers:
            writer.transport.abort()

    def block(self, *, to_server: bool, to_client: bool) -> None:
        """Hold bytes back in one direction or both; neither end notices."""
        for name, blocked in (("to_server", to_server), ("to_client", to_client)):
            if blocked:
                self._open[name].clear()

    def slow(self, seconds: float) -> None:
        """Let every chunk take so much longer."""
        self._delay = seconds

    def heal(self) -> None:
        """Pass everything on again; connections that were blocked are cut, because their streams lack bytes."""
        blocked = not all(direction.is_set() for direction in self._open.values())
        self._delay = 0.0
        if blocked:
            self.cut()
        for direction in self._open.values():
            direction.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if carrying := asyncio.current_task():
            self._carrying.add(carrying)
            carrying.add_done_callback(self._carrying.discard)
        self._writers.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            answers, onward = await asyncio.open_connection(*self._target)
            self._writers.add(onward)
            both = [
                asyncio.create_task(self._pass_on(reader, onward, "to_server")),
                asyncio.create_task(self._pass_on(answers, writer, "to_client")),
            ]
            # One direction ends with the other: neither Kafka nor Postgres closes one half.
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        except OSError:
            pass
        finally:
            for one in (writer, onward):
                if one:
                    self._writers.discard(one)
                    one.transport.abort()
                    with contextlib.suppress(OSError):
                        await one.wait_closed()

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: str) -> None:
        while chunk := await source.read(_CHUNK):
            if self._delay:
                await asyncio.sleep(self._delay)
            await self._open[direction].wait()
            sink.write(chunk)
            await sink.drain()
