"""The desk over real HTTP: the list while 10,000 budgets wait, a budget of 2,000 lines, and 50 people who click."""

import asyncio
import re
import secrets
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from http.cookiejar import CookieJar
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

import asyncpg

from bench.harness import WORKER, Bench, open_session
from bench.load import APPROVER, CLICKING, COMPANY, BenchDeployment, stop
from bench.results import Latency, Part
from demo.server_process import choose_ports

LIST: Final = "the first page of the list"
LARGE: Final = "a budget of 2,000 lines"
CLICKS: Final = "50 people accept at once, each another budget"
SAME: Final = "50 people accept at once, all the same budget"
FIRST_BYTE: Final = ", first byte"
WHOLE: Final = ", whole"
BUDGETS: Final = 10_000
LINES: Final = 2000
LOADS: Final = 20
PATIENCE_SECONDS: Final = 120.0
_TOKEN: Final = re.compile(r'name="token" value="([^"]+)"')


class Visitor:
    """A browser without a screen: one session, and pages as they are sent to browsers, compressed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def sign_in(self, user: str) -> None:
        """Be an approver."""
        self._post("/login", {"user": user, "next": "/signed-out"})

    def find_token(self, path: str) -> str:
        """Find the token of the form on the page of a budget."""
        with self._opener.open(self._url + path) as answer:
            found = _TOKEN.search(answer.read().decode())
        if found is None:
            raise RuntimeError(f"{path} has no form to accept with")
        return found[1]

    def accept(self, path: str, token: str) -> tuple[float, bool]:
        """Accept a budget; returns the milliseconds until there is an answer, and whether the desk has sent it."""
        began, sent = time.monotonic(), True
        try:
            self._post(f"{path}/acts/accept", {"token": token})
        except HTTPError as refused:
            sent = refused.code != HTTPStatus.CONFLICT
            if sent:
                raise
        return (time.monotonic() - began) * 1000, sent

    def _post(self, path: str, fields: dict[str, str]) -> None:
        form = urlencode(fields).encode()
        self._opener.open(urllib.request.Request(self._url + path, form, {"Origin": self._url})).read()

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
        part.notes[name] = f"{size:,} bytes over the wire, with {budgets:,} waiting"
    await measure_clicks(bench, part)
    return part


async def measure_clicks(bench: Bench, part: Part) -> None:
    """Let everybody accept a budget of their own at the same time, and then all the same one."""
    count = len(CLICKING)
    deployment = await bench.prepare(count + 1)
    await wait_for_approval(bench, deployment, CLICKS)
    with run_desk(bench, deployment) as url, bench.run(deployment, WORKER), ThreadPoolExecutor(count) as people:
        await bench.await_members(deployment, 1)
        visitors = [Visitor(url) for _ in CLICKING]
        list(people.map(Visitor.sign_in, visitors, CLICKING))
        for name, projects in ((CLICKS, range(1, count + 1)), (SAME, [count + 1] * count)):
            paths = [f"/budgets/{COMPANY}/{project}/1" for project in projects]
            tokens = list(people.map(Visitor.find_token, visitors, paths))
            clicks = await asyncio.to_thread(click_all, people, visitors, paths, tokens)
            part.latencies.append(Latency(name, [milliseconds for milliseconds, _ in clicks]))
            sent = sum(was_sent for _, was_sent in clicks)
            part.notes[name] = await count_outcomes(deployment, sorted(set(projects)), sent)


def click_all(
    people: ThreadPoolExecutor, visitors: list[Visitor], paths: list[str], tokens: list[str]
) -> list[tuple[float, bool]]:
    """Let everybody click at once."""
    return list(people.map(Visitor.accept, visitors, paths, tokens))


async def count_outcomes(deployment: BenchDeployment, projects: list[int], sent: int) -> str:
    """Count what became of the clicks, once every one that was sent is decided and every budget exported.

    Raises:
        TimeoutError: one was lost.
    """
    verdicts = """select verdict, count(*) from history
        where type = 'approval.decision.v1' and project_id = any($1) group by verdict order by verdict"""
    exports = "select count(*) from outbox where type = 'spectrum.export.v1' and project_id = any($1)"
    async with open_session(deployment.database_url) as session, asyncio.timeout(PATIENCE_SECONDS):
        decided: list[asyncpg.Record] = []
        exported = 0
        while sum(count for _, count in decided) < sent or exported < len(projects):
            await asyncio.sleep(0.1)
            decided = await session.fetch(verdicts, projects)
            exported = await session.fetchval(exports, projects)
    found = ", ".join(f"{count} {verdict}" for verdict, count in decided)
    return f"{sent} sent and {found}; {exported} exported"


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
    visitor.sign_in(APPROVER)
    loads = [visitor.load(path) for _ in range(LOADS)]
    return [first for first, _, _ in loads], [whole for _, whole, _ in loads], loads[-1][2]
