"""The log of a worker: it controls no terminal, and whatever happens to the output stops nothing."""

import atexit
import errno
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from tests.unit.fakes import Log
from worker.telemetry import log_writer, logs
from worker.telemetry.log_writer import LOST_LINES, LogWriter
from worker.telemetry.logs import configure_log

Read = Callable[[], str]


@pytest.fixture
def written(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Read]:
    """Everything that was logged, once it is written."""
    closes: list[Callable[[float], None]] = []
    monkeypatch.setattr(atexit, "register", lambda close, _: closes.append(close))

    def read() -> str:
        for close in closes:
            close(5.0)
        return capfd.readouterr().out

    yield read
    read()
    structlog.reset_defaults()


def _fail(why: str) -> None:
    raise ValueError(why)


def test_no_text_of_a_message_controls_the_terminal(written: Read) -> None:
    log = configure_log("console")
    log.info("message.applied", id="a\u202eb\x1b[31m", detail="two words \x9b", budget="7/1/2")
    try:
        _fail("\x1b]0;title\x07")
    except ValueError:
        log.exception("batch.failed")
    shown = written()
    assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(shown)
    assert r"a\u202eb\x1b[31m" in shown
    assert "Traceback (most recent call last)" in shown


def test_json_lines_keep_the_text(written: Read) -> None:
    configure_log("json").info("message.applied", id="a\u202eb")
    assert json.loads(written())["id"] == "a\u202eb"


def test_what_libraries_warn_of_is_logged() -> None:
    log: Any = Log()
    library = logging.getLogger("some.library")
    library.addHandler(logs._LibraryLog(log))
    library.warning("%s is odd", "it")
    library.info("nothing")
    [(level, event, fields)] = log.events
    assert (level, event, fields["library"], fields["text"]) == (
        "warning",
        "library.logged",
        "some.library",
        "it is odd",
    )


def test_a_library_that_logs_wrongly_is_logged_as_it_is() -> None:
    log: Any = Log()
    library = logging.getLogger("another.library")
    library.propagate = False
    library.addHandler(logs._LibraryLog(log))
    library.warning("%d is odd", "it")
    assert [fields["text"] for _, _, fields in log.events] == ["%d is odd ('it',)"]


def describe_lost(lines: int) -> str:
    return f"{lines} lost\n"


def test_an_output_that_is_gone_loses_lines_and_raises_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    before = LOST_LINES._value.get()
    writer = LogWriter(writing, "utf-8", describe_lost)
    writer.write("a line\n")
    writer.write("another\n")
    writer.close(5.0)
    assert LOST_LINES._value.get() - before == 2
    os.close(writing)


def test_half_a_line_is_ended_before_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, full = [11, 0, 0, 100, 100], threading.Event()
    found = b""

    def write(_: int, text: memoryview) -> int:
        nonlocal found
        size = min(taken.pop(0), len(text))
        if not size:
            if taken[0]:
                full.set()
            raise OSError(errno.ENOSPC, "no space left")
        found += text[:size]
        return size

    monkeypatch.setattr(log_writer, "os", SimpleNamespace(write=write))
    writer = LogWriter(1, "utf-8", describe_lost)
    writer.write("a line\na second\n")
    assert full.wait(5.0)
    writer.write("a third\n")
    writer.close(5.0)
    assert found == b"a line\na se\na third\n1 lost\n"


def test_an_output_that_refuses_instead_of_waiting_loses_nothing() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = LOST_LINES._value.get()
    writer = LogWriter(writing, "utf-8", describe_lost)
    for number in range(10_000):
        writer.write(f"{number:049}\n")
    found = b""
    while sum(count_lines(found)) < 10_000:
        found += os.read(reading, 1 << 16)
    writer.close(5.0)
    assert (count_lines(found), LOST_LINES._value.get()) == ((10_000, 0), before)
    os.close(reading)
    os.close(writing)


def test_lines_that_do_not_fit_are_dropped_and_the_log_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_writer, "WAITING_CHARACTERS", 1000)
    reading, writing = os.pipe()
    before = LOST_LINES._value.get()
    writer = LogWriter(writing, "utf-8", describe_lost)
    # More than a pipe takes, and then more than may wait: nobody reads.
    for number in range(10_000):
        writer.write(f"{number:049}\n")
    lost = int(LOST_LINES._value.get() - before)
    assert lost > 0
    found = b""
    while sum(count_lines(found)) < 10_000:
        found += os.read(reading, 1 << 20)
    assert count_lines(found) == (10_000 - lost, lost)
    writer.write("back\n")
    assert os.read(reading, 100) == b"back\n"
    writer.close(5.0)
    os.close(reading)
    os.close(writing)


def count_lines(found: bytes) -> tuple[int, int]:
    """Count the lines that were written, and those that are said to be lost."""
    lines = found.decode().splitlines()
    lost = [int(line.split()[0]) for line in lines if line.endswith(" lost")]
    return len(lines) - len(lost), sum(lost)


WORKER = """
import asyncio, signal, sys, time
from worker.telemetry.logs import configure_log

async def carry():
    log, stopping = configure_log("json"), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    for number in range(int(sys.argv[1])):
        log.info("message.applied", number=number, detail="x" * 200)
        if number % 100 == 0:
            await asyncio.sleep(0)
    print("carried", file=sys.stderr, flush=True)
    await stopping.wait()
    log.info("worker.stopped")

asyncio.run(carry())
"""


def run_worker(lines: int, stdout: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, str(lines)], stdout=stdout, stderr=subprocess.PIPE)


def test_a_worker_whose_output_nobody_reads_carries_on_and_ends_in_time() -> None:
    reading, writing = os.pipe()
    with run_worker(70_000, writing) as worker:
        try:
            assert worker.stderr
            assert worker.stderr.readline() == b"carried\n"
            began = time.monotonic()
            worker.terminate()
            assert worker.wait(20) == 0
            assert time.monotonic() - began < logs.CLOSE_SECONDS + 2
            assert worker.stderr.read() == b""
        finally:
            worker.kill()
    os.close(reading)
    os.close(writing)


def test_the_last_lines_are_written_before_the_process_ends() -> None:
    with run_worker(20_000, subprocess.PIPE) as worker:
        try:
            assert worker.stderr
            assert worker.stdout
            found = b""
            while b'"number": 19999' not in found[-1000:]:
                found += worker.stdout.read1(1 << 20)  # type: ignore[attr-defined]
            worker.terminate()
            found += worker.stdout.read()
            assert worker.wait(20) == 0
        finally:
            worker.kill()
    events = [json.loads(line)["event"] for line in found.splitlines()]
    assert events[-1] == "worker.stopped"


STARTING = """
import os, sys
import worker.__main__ as command
from worker.telemetry.logs import configure_log

def start():
    log = configure_log("console")
    log.info("worker.started")
    os.write(int(sys.argv.pop()), b"%d %d" % (sys.stdin.fileno(), sys.stdout.fileno()))

command.app = start
command.main()
"""


@pytest.mark.parametrize("closed", ["", ">&-", "<&- >&- 2>&-"])
def test_a_worker_whose_standard_streams_are_closed_runs_and_leaves_their_descriptors_to_them(closed: str) -> None:
    reading, writing = os.pipe()
    started = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", STARTING, str(writing)],
        pass_fds=[writing],
        capture_output=True,
        timeout=60,
        check=False,
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert (started.returncode, started.stderr, file.read()) == (0, b"", b"0 1")
