"""The watch, as a process of its own: it finds nothing in an honest run, and each fault that is planted."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from contracts.body import Inbound
from contracts.records import Outgoing, Record
from demo.server_process import choose_ports
from tests.end_to_end.harness import Bridge
from tests.end_to_end.test_health import ask
from tests.unit.builders import KEY, STEEL, accept, acknowledge, lock, reject, retry
from tests.unit.test_record_decoding import sign

WITHIN_SECONDS = 90.0


class WatchProcess:
    """A watch over a bridge, in a process of its own."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        [self.port] = choose_ports(1)
        self.folder = bridge.folder / "working directory"
        self.folder.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        environment = self._bridge.environment | {"HTTP_PORT": str(self.port)}
        # It does not need these.
        for name in ("DATABASE_URL", "RULES_DIR"):
            del environment[name]
        with (self._bridge.folder / "watch.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker", "watch", *options],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                raise
            finally:
                self._process = None

    async def read_findings(self) -> tuple[int, set[tuple[str, str]]]:
        """The moment as of which it judged, and what it finds: kind and budget."""
        status, text = await ask(self.port, "/findings.json")
        answer: dict[str, Any] = json.loads(text) if status == 200 else {"judged_ms": None, "findings": []}
        return answer["judged_ms"] or 0, {(one["kind"], one["budget"]) for one in answer["findings"]}

    async def wait_until_judged(self) -> set[tuple[str, str]]:
        """Wait until it has judged everything that the topics hold now; return its findings."""
        now_ms = time.time() * 1000
        until = time.monotonic() + WITHIN_SECONDS
        while time.monotonic() < until:
            judged_ms, found = await self.read_findings()
            if judged_ms > now_ms:
                return found
            await asyncio.sleep(0.2)
        raise AssertionError(
            f"it has not judged; its log ends with:\n{(self._bridge.folder / 'watch.log').read_text()[-3000:]}"
        )

    async def wait_for(self, *findings: tuple[str, str]) -> None:
        until = time.monotonic() + WITHIN_SECONDS
        found: set[tuple[str, str]] = set()
        while time.monotonic() < until:
            _, found = await self.read_findings()
            if found.issuperset(findings):
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"it does not find {set(findings) - found}; it finds {found}")

    async def read_metrics(self) -> dict[tuple[str, ...], float]:
        _, text = await ask(self.port, "/metrics")
        return {
            (sample.name.removeprefix("budget_bridge_watch_"), *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
async def watching(bridge: Bridge) -> AsyncIterator[WatchProcess]:
    watch = WatchProcess(bridge)
    yield watch
    watch.stop()


def key_of(project: int) -> str:
    return str(KEY._replace(project_id=project))


async def send_odd_header(bridge: Bridge, body: Inbound) -> None:
    """Send a message with one more header, whose name is not UTF-8."""
    producer = AIOKafkaProducer(bootstrap_servers=bridge.kafka)
    await producer.start()
    try:
        batch = producer.create_batch()
        headers = [*bridge.head(body), ("grXsse", b"1")]
        value = json.dumps(body.model_dump(mode="json")).encode()
        assert batch.append(timestamp=int(time.time() * 1000), key=b"any", value=value, headers=headers)
        batch.close()
        batch._buffer = bytearray(sign(bytes(batch._build()).replace(b"grXsse", b"gr\xf6sse")))
        await (await producer.send_batch(batch, bridge.prefix + bridge.find_topic(body), partition=0))
    finally:
        await producer.stop()


async def play_honest_run(bridge: Bridge) -> None:
    """Play everything that is correct: accepted, rejected, refused, failed, retried, waiting, synced again."""
    keys = {number: KEY._replace(project_id=number) for number in range(1, 7)}
    dear = STEEL | {"original_amount": "640001.00"}
    # Acceptances that come before their locks name the content that they are for.
    bridge.remember_locks([lock(key=key) for key in keys.values()])
    await bridge.send(*(accept(key=keys[number]) for number in (1, 2)))
    await bridge.send(*(lock(key=key) for key in keys.values()))
    await bridge.wait_for("approval.requested.v1", 6)
    await bridge.send(*(accept(key=keys[number]) for number in (3, 4)), accept(key=keys[5], by="nobody"))
    await bridge.send(reject(key=keys[6]))
    await bridge.wait_for("request.refused.v1", 1, project_id=5)
    await bridge.wait_for("budget.returned.v1", 1, project_id=6)
    await bridge.send(accept(key=keys[6]), accept(key=keys[5]))
    await bridge.wait_for("spectrum.export.v1", 5)
    await bridge.send(lock(2, dear, key=keys[2]))
    await bridge.wait_for("budget.status.v1", 1, project_id=2, waiting_version=2)
    await bridge.send(acknowledge("failed", key=keys[1]), *(acknowledge("success", key=keys[n]) for n in (2, 3, 4, 5)))
    await bridge.wait_for("budget.status.v1", 1, project_id=1, status="EXPORT_FAILED")
    await bridge.send(retry(key=keys[1]))
    await bridge.wait_for("spectrum.export.v1", 1, project_id=1, attempt=2)
    await bridge.send(acknowledge("success", attempt=2, key=keys[1]))
    await bridge.wait_for("approval.requested.v1", 1, project_id=2, budget_version=2)
    await bridge.send(accept(2, key=keys[2]))
    await bridge.wait_for("spectrum.resync.v1", 1, project_id=2)
    await bridge.send(acknowledge("success", 2, key=keys[2]))
    await bridge.wait_for("budget.status.v1", 1, project_id=2, status="SYNCED", budget_version=2)
    await bridge.wait_for("budget.status.v1", 1, project_id=1, status="SYNCED")
    await send_odd_header(bridge, retry(key=keys[3]))
    await bridge.wait_for("request.refused.v1", 1, project_id=3)


def find_export(bridge: Bridge, project: int, number: int = 1) -> Record:
    return next(
        record
        for record in bridge.seen
        if record.place.topic.endswith("spectrum.exports")
        and (data := json.loads(record.value or b""))["project_id"] == project
        and data["export_number"] == number
    )


async def export_by_rogue(bridge: Bridge, record: Record, **changes: object) -> None:
    """Write an export that the bridge never sent."""
    value = json.dumps(json.loads(record.value or b"") | changes).encode()
    await bridge.appender.append([Outgoing(record.place.topic, record.key, value, record.headers)])


async def export_and_abort(bridge: Bridge, record: Record) -> None:
    """Write an export again in a transaction that is aborted."""
    producer = AIOKafkaProducer(bootstrap_servers=bridge.kafka, transactional_id=f"rogue-{uuid4()}")
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(record.place.topic, record.value, record.key, headers=list(record.headers))
        await producer.abort_transaction()
    finally:
        await producer.stop()


async def check_pages(bridge: Bridge, watching: WatchProcess) -> None:
    _, page = await ask(watching.port, "/")
    assert "two exports in flight" in page
    assert "3 records could not be read" in page
    (bridge.folder / "watch.html").write_text(page)
    assert (await ask(watching.port, "/health/live"))[0] == 200
    for closed in ("/table/", "/table/observations", "/router/", "/router/observations/1", "/graph", "/stats"):
        assert (await ask(watching.port, closed))[0] == 404, closed
    assert not list(watching.folder.iterdir())


async def test_the_watch_finds_nothing_in_an_honest_run_and_each_planted_fault(
    bridge: Bridge, watching: WatchProcess
) -> None:
    watching.start("--exported-within", "15s")
    worker = bridge.start()
    await play_honest_run(bridge)
    assert await watching.wait_until_judged() == set()
    assert (await bridge.wait_until_carried()).are_clean
    bridge.is_sound = False  # from here on a rogue writes

    await export_and_abort(bridge, find_export(bridge, 3))
    assert await watching.wait_until_judged() == set()

    await bridge.send_raw("procore.approvals", b"{", ())
    await bridge.appender.append(
        [
            Outgoing(
                f"{bridge.prefix}spectrum.exports", b"x", b'{"project_id": 0}', (("ce_type", b"spectrum.export.v2"),)
            ),
            Outgoing(f"{bridge.prefix}bridge.status", b"x", None, ()),
        ]
    )
    doubled = find_export(bridge, 4)
    await bridge.appender.append([Outgoing(doubled.place.topic, doubled.key, doubled.value, doubled.headers)])
    await export_by_rogue(bridge, find_export(bridge, 3), project_id=300, export_id=str(uuid4()))
    await export_by_rogue(bridge, find_export(bridge, 1), attempt=3)
    await export_by_rogue(bridge, find_export(bridge, 2), attempt=2)
    bridge.seen.clear()
    await bridge.send(lock(key=KEY._replace(project_id=7)), accept(key=KEY._replace(project_id=7)))
    await bridge.wait_for("spectrum.export.v1", 1, project_id=7)
    in_flight = find_export(bridge, 7)
    await export_by_rogue(bridge, in_flight, budget_version=2, export_number=2, export_id=str(uuid4()))
    await bridge.send(lock(key=KEY._replace(project_id=8)))
    await bridge.wait_for("approval.requested.v1", 1, project_id=8)
    refused = KEY._replace(project_id=9)
    await bridge.send(lock(key=refused), accept(key=refused, by="nobody"))
    await bridge.wait_for("request.refused.v1", 1, project_id=9)
    await export_by_rogue(bridge, in_flight, project_id=9, export_id=str(uuid4()))
    await bridge.stop(worker)
    await bridge.send(accept(key=KEY._replace(project_id=8)))
    expected = {
        ("repeated_export", key_of(4)),
        ("exported_without_acceptance", key_of(300)),
        ("exported_without_acceptance", key_of(1)),
        ("exported_without_acceptance", key_of(2)),
        ("reordered_export", key_of(2)),
        ("exported_without_acceptance", key_of(7)),
        ("two_exports_in_flight", key_of(7)),
        ("accepted_not_exported", key_of(8)),
        ("exported_without_acceptance", key_of(9)),
    }
    await watching.wait_for(*expected)
    assert await watching.wait_until_judged() == expected
    found = await watching.read_metrics()
    assert found["unreadable_total", "procore.approvals"] == 1
    assert found["unreadable_total", "spectrum.exports"] == 1
    assert found["unreadable_total", "bridge.status"] == 1
    assert found["findings", "exported_without_acceptance"] == 5
    assert found["findings", "repeated_export"] == 1
    await check_pages(bridge, watching)

    for line in (bridge.folder / "watch.log").read_text().splitlines():
        # Faust warns of a slow machine.
        event = json.loads(line)["event"]
        assert event.startswith("watch.") or event == "library.logged", line

    # Started again it continues with what it has read, and with other limits it finds what waits.
    watching.stop()
    watching.start("--exported-within", "1d", "--acknowledged-within", "5s", "--pending-within", "5s")
    later = {
        *(finding for finding in expected if finding[0] != "accepted_not_exported"),
        *(("unacknowledged", key_of(project)) for project in (7, 9, 300)),
        *(("pending_too_long", key_of(project)) for project in (8, 9)),
    }
    await watching.wait_for(*later)
    assert await watching.wait_until_judged() == later

    # When the worker continues, the finding ends.
    bridge.start()
    await bridge.wait_for("spectrum.export.v1", 1, project_id=8)
    await bridge.send(acknowledge("success", key=KEY._replace(project_id=8)))
    assert ("pending_too_long", key_of(8)) not in await watching.wait_until_judged()
