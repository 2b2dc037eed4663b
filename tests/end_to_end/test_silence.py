"""A consumer that stalls although there is more to read: the worker reports it, joins the group again and continues."""

import asyncio
import json

import pytest

from demo.server_process import choose_ports
from tests.end_to_end.test_health import ask, wait_for_answer
from tests.exactly_once.deployment import RunningDeployment
from tests.unit.builders import accept, lock


@pytest.mark.parametrize("planted", [{}, {"IS_DEAF": "1"}], ids=["silent", "deaf"])
async def test_a_silent_consumer_is_reported_and_joins_again(
    deployment: RunningDeployment, planted: dict[str, str]
) -> None:
    [port] = choose_ports(1)
    deployment.settings["HTTP_PORT"] = str(port)
    sign = deployment.folder / "silence"
    deployment.start_planted(STALLS_AT_SIGN=str(sign), **planted)
    await deployment.send(lock())
    await deployment.wait_for("approval.requested.v1")
    await wait_for_answer(deployment, port, "/health/ready", 200)
    sign.write_text("0")
    await deployment.wait_until(lambda: sign.read_text() == "2", "both readers, of the sources and the inbox, silenced")
    await deployment.send(accept())
    answer = json.loads(await wait_for_answer(deployment, port, "/health/ready", 503))
    assert {*answer["silent"]} <= {"intake", "lanes"}
    assert answer["silent"]
    assert answer["breakers"] == {"kafka": "closed", "database": "closed"}
    await deployment.wait_for("spectrum.export.v1")
    await wait_for_answer(deployment, port, "/health/ready", 200)
    for reader in ("intake", "lanes"):
        async with asyncio.timeout(30):
            while f'budget_bridge_silent_consumers{{reader="{reader}"}} 0.0' not in (await ask(port, "/metrics"))[1]:  # noqa: ASYNC110 - a process of its own
                await asyncio.sleep(0.2)
    silent = [line["reader"] for line in deployment.read_log() if line["event"] == "consumer.silent"]
    _, metrics = await ask(port, "/metrics")
    for reader in ("intake", "lanes"):
        assert silent.count(reader) == 1
        assert f'budget_bridge_rejoins_total{{reader="{reader}"}} 1.0' in metrics
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first
