"""The intake's error branches, outcome by outcome, on fakes: nothing that was fetched is lost, whatever fails."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.fakes import TOPICS, FakeAppender, FakeReader, RunningPart, make_record, wait_for, wait_no_time
from worker.kafka.errors import KafkaDown, MessageTooLarge
from worker.pipeline import intake as intake_module
from worker.pipeline.intake import Intake
from worker.pipeline.source_topics import SourcesSeen
from worker.resilience import breaker as breaker_module

PLACE = ("x.procore.budgets", 0)
NOTHING_SEEN = SourcesSeen({}, {}, {})


@pytest.fixture(autouse=True)
def no_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "back_off", wait_no_time)
    monkeypatch.setattr(breaker_module, "back_off", wait_no_time)
    monkeypatch.setattr(breaker_module, "OTHERS_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(intake_module, "POLL_SECONDS", 0.001)


async def see_nothing() -> SourcesSeen:
    return NOTHING_SEEN


class RunningIntake(RunningPart):
    """An intake that runs on fakes."""

    def __init__(
        self,
        reader: FakeReader,
        appender: FakeAppender,
        check: Callable[[], Awaitable[SourcesSeen]] = see_nothing,
        assigned: list[tuple[str, int]] | None = None,
    ) -> None:
        super().__init__()
        log: Any = self.log
        self.intake = Intake(reader, appender, check, TOPICS, self.breakers.kafka, log)
        self.task = asyncio.create_task(self._run(assigned or []))

    async def _run(self, assigned: list[tuple[str, int]]) -> None:
        await self.intake.note_assigned(assigned)
        await self.intake.run(self.stopping)


def list_offsets(appender: FakeAppender) -> list[list[int]]:
    return [[int(dict(one.headers)["origin_offset"] or b"") for one in records] for records in appender.appended]


async def test_an_offset_is_committed_only_after_its_copy_is_safe() -> None:
    reader, appender = FakeReader([make_record(0), make_record(1)]), FakeAppender()
    running = RunningIntake(reader, appender)
    await running.until(lambda: reader.committed)
    await running.stop()
    assert list_offsets(appender) == [[0, 1]]
    assert reader.committed[0][PLACE].offset == 2


@pytest.mark.parametrize(
    "failure",
    [KafkaDown("gone"), MessageTooLarge("large")],
    ids=lambda failure: type(failure).__name__,
)
async def test_what_was_fetched_is_appended_again_after_a_failure(failure: BaseException) -> None:
    reader, appender = FakeReader([make_record(0)], [make_record(1)]), FakeAppender(failure)
    running = RunningIntake(reader, appender)
    await running.until(lambda: len(reader.committed) == 2)
    await running.stop()
    assert list_offsets(appender) == [[0], [1]]
    assert "kafka.lost" in running.log.list_names() or "intake.lost" in running.log.list_names()


async def test_a_member_that_joins_again_connects_its_producer_again() -> None:
    """The brokers may have moved, and the producer would wait for the old ones until its time is over."""
    running = RunningIntake(FakeReader(), appender := FakeAppender(), assigned=[PLACE])
    await running.stop()
    assert appender.reconnects == 1


async def test_a_commit_that_fails_copies_again() -> None:
    reader, appender = FakeReader([make_record(0)]), FakeAppender()
    reader.commits._answers.insert(0, KafkaDown("the coordinator does not answer"))
    running = RunningIntake(reader, appender)
    await running.until(lambda: reader.committed)
    await running.stop()
    assert list_offsets(appender) == [[0], [0]]


async def test_what_was_fetched_outlives_an_unforeseen_error() -> None:
    reader, appender = FakeReader([make_record(0)]), FakeAppender(RuntimeError("a bug"))
    running = RunningIntake(reader, appender)
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(running.task, 5)
    # As the supervisor does.
    again = asyncio.create_task(running.intake.run(running.stopping))
    await wait_for(lambda: reader.committed)
    running.stopping.set()
    await again
    assert list_offsets(appender) == [[0]]


async def test_while_kafka_is_down_it_stays_in_its_group_and_asks_before_it_fetches() -> None:
    reader, appender = FakeReader(KafkaDown("gone"), []), FakeAppender()
    reader.asks._answers = [KafkaDown("still gone"), None]
    running = RunningIntake(reader, appender)
    await running.until(lambda: "kafka.regained" in running.log.list_names())
    assert reader.asks.calls == 2
    await running.stop()


async def test_while_kafka_is_down_its_producer_is_given_up() -> None:
    appender = FakeAppender()
    running = RunningIntake(FakeReader(), appender)
    kafka = running.breakers.kafka
    kafka.trip("somebody else", "gone")
    assert kafka.admits("somebody else")
    # The first is that of its assignment.
    await running.until(lambda: appender.reconnects > 1)
    kafka.close("somebody else")
    await running.stop()


async def test_a_recreated_source_is_read_from_its_start_and_what_was_removed_is_said() -> None:
    other = ("x.procore.approvals", 1)
    reader, appender = FakeReader(), FakeAppender()

    async def see() -> SourcesSeen:
        return SourcesSeen({PLACE: 3}, {}, {other: (5, 8)})

    running = RunningIntake(reader, appender, see, [PLACE, other])
    await running.until(lambda: "source.lost_records" in running.log.list_names())
    await running.stop()
    assert (reader.paused, reader.sought, reader.resumed) == ([PLACE, other], [3], [other])
    assert "records 5 to 7 were removed" in running.log.events[-1][2]["why"]
    assert running.log.list_names() == ["source.recreated", "source.lost_records"]


async def test_new_partitions_stay_paused_until_they_could_be_checked() -> None:
    reader, appender = FakeReader(), FakeAppender()
    answers: list[Any] = [KafkaDown("gone"), NOTHING_SEEN]

    async def see() -> SourcesSeen:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        seen: SourcesSeen = found
        return seen

    running = RunningIntake(reader, appender, see, [PLACE])
    await running.until(lambda: reader.resumed)
    assert (reader.resumed, answers) == ([PLACE], [])
    await running.stop()
