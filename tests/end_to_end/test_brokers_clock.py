"""A broker whose clock is hours off: decisions take its time, and everything is carried once and in order."""

import struct
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from contracts.topics import SOURCES
from demo import kafka_jars
from demo.kafka_server import run_kafka
from tests.exactly_once.deployment import RunningDeployment
from tests.unit.builders import lock
from worker.kafka.errors import KafkaDown

CLOCK: Final = "org/apache/kafka/common/utils/SystemTime.class"
BEHIND_THE_CONSTANTS: Final = bytes.fromhex("0020 0002 0004 0001 0006")
MILLISECONDS: Final = bytes.fromhex("0000002e 0002 0001 00000004 b80014 ad")
"""Of ``milliseconds()``: the length of what follows, stack, variables, the length of the code, and the code: call
``System.currentTimeMillis()``, return it. The checksum of the jar is pinned, so this is what it holds."""


def shift_clock(clock: bytes, hours: int) -> bytes:
    """Change the class of Kafka's clock, so that ``milliseconds()`` adds some hours to the machine's time."""
    assert (clock.count(BEHIND_THE_CONSTANTS), clock.count(MILLISECONDS)) == (1, 1)
    [constants] = struct.unpack_from(">H", clock, 8)
    added = struct.pack(">Bq", 5, hours * 3_600_000)
    # The nop is where the table of variables says that the code ends.
    code = bytes.fromhex("b80014 00 14") + struct.pack(">H", constants) + bytes.fromhex("61 ad")
    method = struct.pack(">IHHI", 0x2E + len(code) - 4, 4, 1, len(code)) + code
    # A long counts as two constants.
    changed = clock[:8] + struct.pack(">H", constants + 2) + clock[10:]
    return changed.replace(BEHIND_THE_CONSTANTS, added + BEHIND_THE_CONSTANTS).replace(MILLISECONDS, method)


@pytest.fixture(params=[-3, 3])
async def off(
    request: pytest.FixtureRequest, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[RunningDeployment, timedelta]]:
    """A deployment with a broker of its own, and by how much the broker's clock is off."""
    jars = kafka_jars.fetch(print)
    [clients] = [jar for jar in jars if jar.name.startswith("kafka-clients-")]
    place = tmp_path / "clock" / CLOCK
    place.parent.mkdir(parents=True)
    with zipfile.ZipFile(clients) as archive:
        place.write_bytes(shift_clock(archive.read(CLOCK), request.param))
    # The first of the class path is taken.
    monkeypatch.setattr(kafka_jars, "fetch", lambda _: [tmp_path / "clock", *jars])
    with run_kafka(tmp_path / "kafka") as kafka:
        deployment = RunningDeployment(tmp_path, kafka.bootstrap, database_url)
        try:
            await deployment.prepare()
            yield deployment, timedelta(hours=request.param)
        finally:
            await deployment.close()


async def send_by_brokers_time(deployment: RunningDeployment) -> None:
    """Let the broker date what others send, too: what is dated an hour ahead of its own clock it refuses."""
    with pytest.raises(KafkaDown, match=": compare the clocks"):
        await deployment.send(lock())
    for topic in SOURCES:
        await deployment.set_up_topic(topic, message_timestamp_type="LogAppendTime", max_message_bytes="17825792")


async def test_decisions_are_off_by_as_much_as_the_brokers_clock(off: tuple[RunningDeployment, timedelta]) -> None:
    deployment, by = off
    if by < timedelta():
        await send_by_brokers_time(deployment)
    deployment.start()
    await deployment.load(1, 20)
    await deployment.wait_for_everything(20)
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first
    for status in deployment.messages("budget.status.v1"):
        assert abs(datetime.fromisoformat(status["since"]) - datetime.now(UTC) - by) < timedelta(minutes=5)
    assert deployment.dead_letters() == []
    checked = deployment.command("doctor")
    assert checked.returncode == 0, checked.stdout
    assert [line for line in deployment.read_log() if line["level"] != "info"] == []
