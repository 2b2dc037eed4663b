"""The timer's error branches, outcome by outcome, on fakes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.budget_key import BudgetKey
from outbox.database import DatabaseDown
from outbox.due import Due
from tests.unit.fakes import FakeAppender, FakeDue, RunningPart, Script, wait_no_time
from worker.kafka.errors import KafkaDown
from worker.pipeline import deadlines as deadlines_module
from worker.pipeline.deadlines import Deadlines, write_deadline
from worker.resilience import breaker as breaker_module

DUE = Due("acknowledgement", BudgetKey(1, 2, 3), 4, datetime(2026, 11, 24, 8, 0, tzinfo=UTC))


@pytest.fixture(autouse=True)
def no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_module, "back_off", wait_no_time)
    monkeypatch.setattr(breaker_module, "OTHERS_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(deadlines_module, "EVERY_SECONDS", 0.001)


class RunningDeadlines(RunningPart):
    """A timer that runs on fakes."""

    def __init__(self, due: FakeDue, appender: FakeAppender, *opens: Any) -> None:
        super().__init__()
        log: Any = self.log
        self.opens = Script(*opens, None)

        @asynccontextmanager
        async def open_source() -> AsyncIterator[FakeDue]:
            self.opens.answer()
            yield due

        self.timer = Deadlines(open_source, appender, "x.bridge.commands", lambda: [0], self.breakers, log)
        self.task = asyncio.create_task(self.timer.run(self.stopping))


async def test_what_is_due_is_sent_once_however_long_it_stays_due() -> None:
    due, appender = FakeDue([DUE]), FakeAppender()
    running = RunningDeadlines(due, appender)
    await running.until(lambda: due.script.calls > 10)
    await running.stop()
    assert appender.appended == [[write_deadline(DUE, "x.bridge.commands")]]


async def test_it_is_sent_again_after_a_while_with_the_same_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines_module, "REPEAT_ROUNDS", 3)
    due, appender = FakeDue([DUE]), FakeAppender()
    running = RunningDeadlines(due, appender)
    await running.until(lambda: len(appender.appended) >= 2)
    await running.stop()
    assert appender.appended[0] == appender.appended[1]


async def test_what_kafka_did_not_take_is_sent_in_a_later_round() -> None:
    due, appender = FakeDue([DUE]), FakeAppender(KafkaDown("gone"), KafkaDown("gone"))
    running = RunningDeadlines(due, appender)
    await running.until(lambda: appender.appended)
    assert {"kafka.lost", "kafka.regained"} <= set(running.log.list_names())
    await running.stop()


async def test_what_is_not_due_by_the_brokers_clock_waits_until_it_is() -> None:
    later = DUE._replace(version=5, due_at=DUE.due_at + timedelta(minutes=2))
    due, appender = FakeDue([DUE, later]), FakeAppender()
    appender.broker_time = DUE.due_at
    running = RunningDeadlines(due, appender)
    await running.until(lambda: due.script.calls > 10)
    assert appender.appended == [[write_deadline(DUE, "x.bridge.commands")]]
    appender.broker_time = later.due_at
    await running.until(lambda: len(appender.appended) == 2)
    await running.stop()
    assert appender.appended[1] == [write_deadline(later, "x.bridge.commands")]


async def test_while_the_brokers_clock_is_not_known_one_goes_first_and_shows_it() -> None:
    others = [DUE._replace(version=version, due_at=DUE.due_at + timedelta(minutes=2)) for version in range(5, 9)]

    class Answering(FakeAppender):
        async def append(self, records: Any) -> None:
            await super().append(records)
            self.broker_time = DUE.due_at

    due, appender = FakeDue([DUE, *others]), Answering()
    running = RunningDeadlines(due, appender)
    await running.until(lambda: due.script.calls > 10)
    await running.stop()
    assert appender.appended == [[write_deadline(DUE, "x.bridge.commands")]]


@pytest.mark.parametrize("where", ["opens", "rounds"])
async def test_a_database_that_is_down_opens_its_breaker(where: str) -> None:
    gone = DatabaseDown("gone")
    due, appender = FakeDue(*([gone] if where == "rounds" else []), [DUE]), FakeAppender()
    running = RunningDeadlines(due, appender, *([gone] if where == "opens" else []))
    await running.until(lambda: appender.appended)
    assert {"database.lost", "database.regained"} <= set(running.log.list_names())
    await running.stop()


async def test_an_unforeseen_error_is_the_supervisors_and_gives_the_turn_back() -> None:
    due, appender = FakeDue(ValueError("a bug")), FakeAppender()
    running = RunningDeadlines(due, appender)
    with pytest.raises(ValueError, match="a bug"):
        await asyncio.wait_for(running.task, 5)
    assert running.breakers.database.admits("another")


def test_the_message_names_the_deadline_by_what_it_is_about() -> None:
    record = write_deadline(DUE, "x.bridge.commands")
    headers = dict(record.headers)
    assert headers["ce_id"] == b"acknowledgement/1/2/3/4/2026-11-24T08:00:00Z"
    assert json.loads(record.value or b"") == {
        "company_id": 1,
        "project_id": 2,
        "budget_id": 3,
        "budget_version": 4,
        "deadline": "acknowledgement",
        "due_at": "2026-11-24T08:00:00Z",
    }
