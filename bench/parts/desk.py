"""The desk: how soon the list comes while 10,000 budgets wait, and a budget of 2,000 lines, each over real HTTP."""

import asyncio
import secrets
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from typing import Final
from urllib.error import URLError
from urllib.parse import urlencode

from bench.harness import WORKER, Bench, open_session
from bench.load import APPROVER, COMPANY, BenchDeployment, stop
from bench.results import Latency, Part
from demo.server_process import choose_ports

LIST: Final = "the first page of the list"
LARGE: Final = "a budget of 2,000 lines"
FIRST_BYTE: Final = ", first byte"
WHOLE: Final = ", whole"
BUDGETS: Final = 10_000
LINES: Final = 2000
LOADS: Final = 20
PATIENCE_SECONDS: Final = 120.0


class Visitor:
    """A browser without a screen: one session, and pages as they are sent to browsers, compressed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def sign_in(self) -> None:
        """Be the approver."""
        form = urlencode({"user": APPROVER, "next": "/signed-out"}).encode()
        self._opener.open(urllib.request.Request(f"{self._url}/login", form, {"Origin": self._url})).close()

    def load(self, path: str) -> tuple[float, float, int]:
        """Load a page; returns the milliseconds to its first byte and to its last, and bytes over the wire."""
        request = urllib.request.Request(self._url + path, headers={"Accept-Encoding": "gzip"})
        began = time.monotonic()
        with self._opener.open(request) as answer:
            first = answer.read(1)
            seen = time.monotonic()
            size = len(first + answer.read())
        return (seen - began) * 1000, (time.monotonic() - began) * 1000, size


async def measure_desk(bench: Bench) -> Part:
    """Measure both pages, each on a deployment of its own."""
    part = Part()
    for name, budgets, lines, path in (
        (LIST, bench.size(BUDGETS), 20, "/"),
        (LARGE, 1, LINES, f"/budgets/{COMPANY}/1/1"),
    ):
        deployment = await bench.prepare(budgets, lines=lines)
        await wait_for_approval(bench, deployment, name)
        with run_desk(bench, deployment) as url:
            first, whole, size = await asyncio.to_thread(load_often, url, path)
        part.latencies += [Latency(name + FIRST_BYTE, first), Latency(name + WHOLE, whole)]
        part.notes[name] = f"{size:,} bytes over the wire, while {budgets:,} budgets wait"
    return part


async def wait_for_approval(bench: Bench, deployment: BenchDeployment, name: str) -> None:
    """Lock every budget, and let the worker carry them to where they wait for an approver."""
    await deployment.send_locks()
    count = "select count(*) from budgets where status = 'PENDING_APPROVAL'"
    async with open_session(deployment.database_url) as session, asyncio.timeout(PATIENCE_SECONDS):
        with bench.run(deployment, WORKER):
            while (waiting := await session.fetchval(count)) < deployment.budgets:
                bench.report(f"{name}: locking", waiting / deployment.budgets)
                await asyncio.sleep(0.1)
        await session.execute("analyze")


@contextmanager
def run_desk(bench: Bench, deployment: BenchDeployment) -> Iterator[str]:
    """Run the desk, and yield its address once it answers."""
    (port,) = choose_ports(1)
    url, secret = f"http://127.0.0.1:{port}", bench.folder / f"{deployment.prefix}secret"
    secret.write_text(secrets.token_hex(32))
    process = deployment.start(
        "bench.desk_server",
        DESK_BIND="127.0.0.1",
        DESK_PORT=str(port),
        DESK_URL=url,
        DESK_DATABASE_URL=deployment.database_url,
        DESK_SECRET_FILE=str(secret),
    )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{url}/login").close()
                break
            except URLError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the desk did not start:\n{deployment.read_log()}") from None
                time.sleep(0.1)
        yield url
    finally:
        stop(process)


def load_often(url: str, path: str) -> tuple[list[float], list[float], int]:
    """Load a page as one person does again and again, the first time included."""
    visitor = Visitor(url)
    visitor.sign_in()
    loads = [visitor.load(path) for _ in range(LOADS)]
    return [first for first, _, _ in loads], [whole for _, whole, _ in loads], loads[-1][2]
