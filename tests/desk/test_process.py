"""The desk as a process: it starts, serves, and ends in an orderly way when it is told to, whoever still listens."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2
import pytest

from demo.server_process import choose_ports
from outbox.database import connect
from outbox.migrate import migrate
from outbox.rules import put_in_force
from tests.unit.builders import RULES

PATIENCE_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0
HEADERS: Final = {"X-User": "ann", "X-Secret": "p" * 32}


@contextmanager
def run_desk(folder: Path, database_url: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """Run ``budget-bridge desk``, to which a proxy says who somebody is; its log is in ``folder/log``."""
    for name, secret in (("desk-secret", "s" * 32), ("proxy-secret", HEADERS["X-Secret"])):
        (folder / name).write_text(secret)
    environment = {
        "KAFKA_BOOTSTRAP": "127.0.0.1:9",
        "DESK_URL": f"http://127.0.0.1:{port}",
        "DESK_PORT": str(port),
        "DESK_BIND": "127.0.0.1",
        "DESK_DATABASE_URL": database_url,
        "DESK_SECRET_FILE": str(folder / "desk-secret"),
        "DESK_IDENTITY": "proxy-header",
        "PROXY_HEADER": "X-User",
        "PROXY_SECRET_HEADER": "X-Secret",
        "PROXY_SECRET_FILE": str(folder / "proxy-secret"),
    }
    with (folder / "log").open("w") as log:
        command = [sys.executable, "-m", "desk", "desk"]
        process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_until(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until, what
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_in_order_while_a_page_listens(tmp_path: Path, database_url: str, number: signal.Signals) -> None:
    session = await connect(database_url)
    await migrate(session)
    await put_in_force(session, RULES, "test", "test")
    await session.close()
    (port,) = choose_ports(1)
    log = tmp_path / "log"
    with run_desk(tmp_path, database_url, port) as desk:
        wait_until(lambda: "desk.started" in log.read_text() or desk.poll() is not None, "it starts")
        assert desk.poll() is None, log.read_text()
        url = f"http://127.0.0.1:{port}"
        with httpx2.Client(base_url=url, headers=HEADERS) as client, client.stream("GET", "/live") as stream:
            assert stream.status_code == 200, stream.read()
            assert next(stream.iter_lines())
            told = time.monotonic()
            desk.send_signal(number)
            code = desk.wait(STOP_SECONDS)
        assert code == 0, log.read_text()
        assert time.monotonic() - told < STOP_SECONDS
        assert "desk.stopped" in log.read_text()
