"""A standby takes over from a Postgres that dies: what it has of the last commits decides whether lanes continue."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from demo import child_process
from demo.postgres_server import Postgres, find_postgres, run_postgres
from demo.server_process import choose_ports, run_to_completion
from tests.exactly_once.chaos import lead_through
from tests.exactly_once.deployment import RunningDeployment, create_database
from tests.exactly_once.proxy import Proxy

WITHIN_SECONDS: Final = 30.0


@dataclass
class Pair:
    """A primary, its streaming standby, the wire between them, and a deployment that knows both as hosts."""

    primary: Postgres
    standby: Postgres
    wire: Proxy
    deployment: RunningDeployment

    async def fail_over(self) -> None:
        """Let the primary die, and promote the standby with what it has."""
        await asyncio.to_thread(self.primary.kill)
        assert await ask(self.standby.url, "select pg_promote()")


async def ask(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def open_pair(folder: Path, kafka: str) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        primary = stack.enter_context(run_postgres(folder / "primary"))
        one = urlsplit(await create_database(primary.url))
        [port] = choose_ports(1)
        wire = Proxy("127.0.0.1", one.port or 0)
        await wire.start(port)
        stack.push_async_callback(wire.close)
        await asyncio.to_thread(copy_cluster, lead_through(primary.url, port), folder)
        standby = stack.enter_context(run_postgres(folder / "standby"))
        hosts = f"{one.netloc},127.0.0.1:{urlsplit(standby.url).port}"
        url = urlunsplit(one._replace(netloc=hosts, query="target_session_attrs=read-write"))
        deployment = RunningDeployment(folder, kafka, url)
        stack.push_async_callback(deployment.close)
        await deployment.prepare()
        yield Pair(primary, standby, wire, deployment)


def copy_cluster(primary: str, folder: Path) -> None:
    """Copy a running cluster, as one that follows it from then on."""
    copy = folder / "standby"
    copy.mkdir()
    (copy / "password").write_text((folder / "primary" / "password").read_text())
    data = copy / "data"
    data.mkdir(mode=0o700)
    child_process.give_to_nobody(data)
    run_to_completion(
        [
            find_postgres() / "pg_basebackup",
            *("--dbname", f"{primary}?application_name=standby", "--pgdata", data),
            *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"),
        ],
        log=copy / "backup.log",
        folder=data,
        unprivileged=True,
    )


@pytest.fixture
async def pair(tmp_path: Path, kafka: str) -> AsyncIterator[Pair]:
    async with open_pair(tmp_path, kafka) as opened:
        yield opened


async def make_synchronous(pair: Pair) -> None:
    """Let no commit be answered before the standby has it."""
    await ask(pair.primary.url, "alter system set synchronous_standby_names = 'standby'")
    await ask(pair.primary.url, "select pg_reload_conf()")
    until = time.monotonic() + WITHIN_SECONDS
    while await ask(pair.primary.url, "select sync_state from pg_stat_replication") != "sync":
        assert time.monotonic() < until, "the standby does not follow"
        await asyncio.sleep(0.1)


async def test_a_failover_without_loss_is_an_outage_and_nothing_else(pair: Pair) -> None:
    """Messages are carried all the time; the lanes continue on the new primary without anybody's help."""
    deployment = pair.deployment
    await make_synchronous(pair)
    deployment.start()
    await deployment.load(1, 20)
    await deployment.wait_for("spectrum.export.v1")
    await asyncio.gather(deployment.load(21, 60), pair.fail_over())
    await deployment.wait_for_everything(60)
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first
    await deployment.read_what_there_is()
    assert deployment.count_repeats() == 0
    # A standby that is asked before it is the primary is a second outage.
    outages = deployment.count_events("database.lost")
    assert 1 <= outages == deployment.count_events("database.regained")
    assert deployment.count_events("lane.refused") == 0


async def test_a_failover_that_loses_commits_makes_every_lane_refuse(pair: Pair) -> None:
    """The standby lacks what was stored and published last: nothing more is published, and `recover` repairs it."""
    deployment = pair.deployment
    worker = deployment.start()
    await deployment.load(1, 20)
    await deployment.wait_for_everything(20)
    await deployment.wait_until_carried()
    pair.wire.block(to_server=True, to_client=True)
    await deployment.load(21, 40)
    await deployment.wait_for_everything(40)
    await deployment.wait_until_carried()
    await pair.fail_over()
    await deployment.load(41, 50)
    await deployment.wait_until(
        lambda: {line["lane"] for line in deployment.read_log() if line["event"] == "lane.refused"} == {0, 1},
        "the refusal of both lanes",
    )
    assert all("an older backup" in line["why"] for line in deployment.read_log() if line["event"] == "lane.refused")
    await deployment.stop(worker)
    repaired = await asyncio.to_thread(deployment.command, "recover", "--yes")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    deployment.start()
    await deployment.wait_for_everything(50)
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first
    await deployment.read_what_there_is()
    assert deployment.count_repeats() == 0
