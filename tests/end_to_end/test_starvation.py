"""A worker that gets no CPU, because others take all there is: its group goes on without it, and takes it back."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from demo.server_process import choose_ports
from tests.end_to_end.test_health import ask, wait_for_answer
from tests.exactly_once.deployment import RunningDeployment

SPINNERS: Final = 30
"""To Linux's scheduler each of them weighs 1,024, and a process of the policy ``SCHED_IDLE`` 3."""


@contextlib.contextmanager
def starve(pid: int) -> Iterator[None]:
    """Leave a process what others leave of one processor, and let others use all of it."""
    cpu = max(os.sched_getaffinity(0))
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {cpu})
        os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
    spin = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"
    spinners = [subprocess.Popen([sys.executable, "-S", "-c", spin]) for _ in range(SPINNERS)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
        for spinner in spinners:
            spinner.wait()


async def test_a_worker_that_gets_no_cpu_is_left_out_and_comes_back(deployment: RunningDeployment) -> None:
    deployment.start()
    await deployment.wait_until(lambda: deployment.count_events("lane.started") >= 2, "both lanes")
    [port] = choose_ports(1)
    deployment.settings["HTTP_PORT"] = str(port)
    starving = deployment.start()
    await deployment.wait_until(lambda: deployment.count_events("lane.started") >= 4, "a lane of each worker")
    with starve(starving.pid):
        await deployment.load(1, 20)
        # Of both lanes, so the other worker has taken over.
        await deployment.wait_for_everything(20)
        assert (await ask(port, "/health/live"))[0] in {0, 503}
    starts = deployment.count_events("lane.started")
    await wait_for_answer(deployment, port, "/health/ready", 200)
    await deployment.wait_until(lambda: deployment.count_events("lane.started") >= starts + 2, "a lane of each again")
    await deployment.load(21, 40)
    await deployment.wait_for_everything(40)
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first
    await deployment.read_what_there_is()
    assert deployment.count_repeats() == 0
