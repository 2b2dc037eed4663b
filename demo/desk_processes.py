"""The worker and the desk of the desk's demo, as processes of their own."""

import asyncio
import os
import secrets
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from demo import child_process
from demo.bridge_client import PATIENCE_SECONDS, UnexpectedError
from demo.desk_rules import OPERATORS_FILE
from demo.keys import name_file
from demo.server_process import choose_ports, is_free
from demo.setup import DemoSetup, LastingProcess, make_worker

PORT: Final = 8090


class DeskProcesses:
    """The worker and the desk."""

    def __init__(self, setup: DemoSetup, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        secret = setup.folder / "desk.secret"
        secret.write_text(secrets.token_hex(32))
        environment = {
            "DESK_BIND": "127.0.0.1",
            "DESK_PORT": str(port),
            "DESK_URL": self.url,
            "DESK_DATABASE_URL": setup.database_url,
            "DESK_SECRET_FILE": str(secret),
            "DESK_KEY_FILE": str(name_file(setup.folder, setup.keys.desk)),
            "OPERATORS_FILE": str(setup.rules / OPERATORS_FILE),
        }
        desk = LastingProcess(setup, "desk", [sys.executable, "-m", "demo.desk_server"], environment)
        self._processes = make_worker(setup), desk

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run both while the body of the ``with`` runs; what they know is thrown away, so they are simply killed."""
        for one in self._processes:
            one.start()
        try:
            yield
        finally:
            for one in self._processes:
                one.end(signal.SIGKILL)

    def check(self) -> None:
        """Check that both still run.

        Raises:
            UnexpectedError: one has ended; the message has the end of its log.
        """
        for one in self._processes:
            if one.process is not None and (code := one.process.poll()) is not None:
                log = child_process.read_tail(one.log)
                raise UnexpectedError(f"the {one.name} has ended with exit code {code}:\n{log}")

    async def await_page(self) -> None:
        """Wait until the desk serves its first page.

        Raises:
            UnexpectedError: it did not in time.
        """
        until = time.monotonic() + PATIENCE_SECONDS
        while not await asyncio.to_thread(self._answers):
            self.check()
            if time.monotonic() > until:
                raise UnexpectedError(f"{self.url} did not answer within {PATIENCE_SECONDS:.0f} s")
            await asyncio.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=5):  # noqa: S310 - our own address
                return True
        except urllib.error.HTTPError as answer:
            return answer.code < 500  # noqa: PLR2004 - Internal Server Error and what follows
        except OSError:
            return False


def choose_port() -> int:
    """Return the port that is asked for, or the usual one, or a free one where that is taken."""
    if asked := os.environ.get("DESK_PORT"):
        return int(asked)
    return PORT if is_free(PORT) else choose_ports(1)[0]
