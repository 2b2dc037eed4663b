"""What the worker reports over HTTP, from the real process."""

import asyncio
import json
import urllib.error
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from demo.server_process import choose_ports
from tests.end_to_end.harness import Bridge
from tests.unit.builders import KEY, accept, lock
from worker.version import read_version


async def ask(port: int, path: str) -> tuple[int, str]:
    def fetch() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()
        except OSError:
            return 0, ""

    return await asyncio.to_thread(fetch)


async def wait_for_answer(bridge: Bridge, port: int, path: str, status: int) -> str:
    answers: list[str] = []

    async def has_answered() -> bool:
        code, text = await ask(port, path)
        if code == status:
            answers.append(text)
        return code == status

    for _ in range(600):
        if await has_answered():
            return answers[0]
        await bridge.read(0.1)
    raise AssertionError(f"{path} did not answer {status}")


async def test_health_and_metrics(bridge: Bridge) -> None:
    [port] = choose_ports(1)
    bridge.settings["HTTP_PORT"] = str(port)
    bridge.start()
    ready = json.loads(await wait_for_answer(bridge, port, "/health/ready", 200))
    assert (ready["ready"], ready["version"]) == (True, read_version())
    asked = json.loads((await asyncio.to_thread(bridge.command, "status", "--json")).stdout)["workers"]
    assert [(one["ready"], one["version"], one["kafka"], one["database"]) for one in asked] == [
        (True, read_version(), "closed", "closed")
    ]
    assert [line["version"] for line in bridge.read_log() if line["event"] == "worker.started"] == [read_version()]
    assert (await ask(port, "/health/live"))[0] == 200
    assert (await ask(port, "/"))[0] == 404
    await bridge.send(lock(), accept(), lock(1, key=KEY._replace(budget_id=1)))
    await bridge.send_raw("procore.budgets", b"{", bridge.head(lock()))
    await bridge.wait_for("spectrum.export.v1")
    await bridge.wait_until(lambda: len(bridge.dead_letters()) == 1, "the dead letter")
    await bridge.wait_until_carried()
    _, text = await ask(port, "/metrics")
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    def value(name: str, **labels: str) -> float:
        return found[f"budget_bridge_{name}", *sorted(labels.items())]

    assert value("messages_total", type="budget.locked.v1", verdict="applied") == 2
    assert value("messages_total", type="unreadable", verdict="dead_lettered") == 1
    assert value("dead_letters_total", reason="unreadable") == 1
    assert value("latency_seconds_count") == 4
    assert value("lane_starts_total") == 2
    assert value("version", version=read_version()) == 1
    assert value("lane_lag_messages", lane="0") + value("lane_lag_messages", lane="1") == 0
    taken = bridge.command("run")
    assert (taken.returncode, f"port {port} cannot be used" in taken.stderr) == (2, True)


async def test_not_ready_while_something_is_unavailable(bridge: Bridge) -> None:
    [port, nothing] = choose_ports(2)
    bridge.settings |= {"HTTP_PORT": str(port), "KAFKA_BOOTSTRAP": f"127.0.0.1:{nothing}"}
    bridge.is_sound = False
    bridge.start()
    answer = json.loads(await wait_for_answer(bridge, port, "/health/ready", 503))
    assert answer["started"] is False
    for _ in range(100):
        if "kafka" in json.loads((await ask(port, "/health/ready"))[1])["away"]:
            break
        await bridge.read(0.1)
    else:
        raise AssertionError("it does not report that Kafka is unavailable")
    assert (await ask(port, "/health/live"))[0] == 200
