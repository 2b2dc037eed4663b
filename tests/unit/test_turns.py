"""Lanes take turns to decide and store: two at a time, and none of them ever stops another."""

import asyncio
from typing import Any

import pytest

from outbox.database import DatabaseDown
from outbox.position import Position
from tests.unit.fakes import FakeInbox, FakePorts, FakePublisher, make_inbox_record, wait_for, wait_no_time
from tests.unit.test_lane import RunningLane
from worker.kafka.errors import KafkaDown
from worker.kafka.group_offsets import Partition
from worker.pipeline import lane as lane_module
from worker.pipeline import turns as turns_module
from worker.pipeline.turns import Turns
from worker.resilience import breaker as breaker_module

LONG = 60.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that has no turn waits for it longer than any test does."""
    monkeypatch.setattr(turns_module, "WAIT_SECONDS", LONG)
    monkeypatch.setattr(lane_module, "back_off", wait_no_time)
    monkeypatch.setattr(breaker_module, "back_off", wait_no_time)
    monkeypatch.setattr(breaker_module, "OTHERS_FIRST_SECONDS", 0.0)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    """One lane at a time has a turn, so that a test needs only two of them."""
    monkeypatch.setattr(turns_module, "AT_ONCE", 1)
    return Turns()


class StoringLane(RunningLane):
    """A lane whose transaction takes until ``stored`` is set."""

    def __init__(self, turns: Turns, *offsets: int) -> None:
        self.stored = asyncio.Event()
        self.failures: list[Exception] = []
        super().__init__(FakePorts(), FakeInbox(*offsets), turns)
        self.ports.write = self._write

    @property
    def is_storing(self) -> bool:
        return bool(self.ports.batches)

    async def _write(self, _after: Position) -> None:
        await self.stored.wait()
        if self.failures:
            raise self.failures.pop()

    async def wait_for_turn(self) -> None:
        """Let the lane fetch, and wait for its turn."""
        await self.until(lambda: self.reader.at > 0)
        await let_the_loop_turn()
        assert not self.is_storing

    async def end(self) -> None:
        self.stored.set()
        await self.stop()


class HangingPublisher(FakePublisher):
    """A producer whose transactions never end."""

    async def commit(self, *, within: float) -> None:
        await asyncio.sleep(LONG * within)


class UnluckyInbox(FakeInbox):
    """An inbox that cannot be read while a lane has its turn."""

    async def fetch(self, partition: Partition, at_most: int, within: float) -> Any:
        if within == 0:
            raise KafkaDown("gone")
        return await super().fetch(partition, at_most, within)


async def let_the_loop_turn() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_two_lanes_store_at_a_time() -> None:
    turns = Turns()
    lanes = [StoringLane(turns, 0) for _ in range(3)]
    await wait_for(lambda: sum(lane.is_storing for lane in lanes) == 2)
    [third] = [lane for lane in lanes if not lane.is_storing]
    await third.wait_for_turn()
    next(lane for lane in lanes if lane is not third).stored.set()
    await third.until(lambda: third.is_storing)
    for lane in lanes:
        await lane.end()


async def test_a_lane_whose_turn_does_not_come_in_time_goes_on_without(
    turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns_module, "WAIT_SECONDS", 0.05)
    hanging, other = StoringLane(turns, 0), StoringLane(turns, 0)
    await hanging.until(lambda: hanging.is_storing)
    began = asyncio.get_running_loop().time()
    other.stored.set()
    await other.until(lambda: other.ports.published)
    assert asyncio.get_running_loop().time() - began < 1
    # And it has asked for no turn that it does not need any more.
    third = StoringLane(turns, 0)
    await hanging.end()
    monkeypatch.setattr(turns_module, "WAIT_SECONDS", LONG)
    await third.until(lambda: third.is_storing)
    await other.end()
    await third.end()


async def test_a_lane_that_fails_to_store_gives_its_turn_back(turns: Turns) -> None:
    failing = StoringLane(turns, 0)
    await failing.until(lambda: failing.is_storing)
    other = StoringLane(turns, 0)
    await other.wait_for_turn()
    # The failing lane restarts, and waits for the other one.
    failing.failures.append(DatabaseDown("gone"))
    failing.stored.set()
    await other.until(lambda: other.is_storing)
    await other.end()
    await failing.until(lambda: failing.ports.published)
    await failing.end()


async def test_a_lane_that_fails_to_fetch_the_rest_gives_its_turn_back_and_reads_it_all_again(turns: Turns) -> None:
    failing = RunningLane(FakePorts(), UnluckyInbox(0), turns)
    await failing.until(lambda: failing.count_starts() >= 2)
    other = StoringLane(turns, 0)
    await other.until(lambda: other.is_storing)
    failing.reader.__class__ = FakeInbox
    await other.end()
    await failing.until(lambda: failing.ports.published)
    assert failing.ports.batches == [[0]]
    await failing.stop()


@pytest.mark.parametrize("which", ["the one that has it", "the one that waits"])
async def test_a_lane_that_is_cancelled_gives_its_turn_back(turns: Turns, which: str) -> None:
    first, second = StoringLane(turns, 0), StoringLane(turns, 0)
    await second.wait_for_turn()
    cancelled, left = (first, second) if which == "the one that has it" else (second, first)
    cancelled.task.cancel()
    await asyncio.wait({cancelled.task}, timeout=1)
    left.stored.set()
    await left.until(lambda: left.ports.published)
    third = StoringLane(turns, 0)
    await third.until(lambda: third.is_storing)
    await left.end()
    await third.end()


async def test_the_stop_ends_the_waiting_and_nothing_more_is_stored(turns: Turns) -> None:
    first, second = StoringLane(turns, 0), StoringLane(turns, 0)
    await second.wait_for_turn()
    await second.stop()
    assert not second.is_storing
    await first.end()


async def test_a_batch_has_what_came_while_it_waited_for_its_turn(turns: Turns) -> None:
    first, second = StoringLane(turns, 0), StoringLane(turns, 0)
    await second.wait_for_turn()
    second.reader.records |= {offset: make_inbox_record(offset) for offset in (1, 2)}
    first.stored.set()
    await second.until(lambda: second.is_storing)
    assert second.ports.batches == [[0, 1, 2]]
    await second.end()
    await first.end()


async def test_a_batch_takes_no_more_than_others(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "BATCH_RECORDS", 2)
    first, second = StoringLane(turns, 0), StoringLane(turns, 0)
    await second.wait_for_turn()
    second.reader.records |= {offset: make_inbox_record(offset) for offset in (1, 2)}
    for lane in (first, second):
        lane.stored.set()
    await second.until(lambda: second.ports.published and second.ports.published[-1][0] == 3)
    assert second.ports.batches == [[0, 1], [2]]
    await second.end()
    await first.end()


async def test_what_is_passed_over_behind_the_first_records_is_read_again(turns: Turns) -> None:
    first, second = StoringLane(turns, 0), StoringLane(turns, 0)
    await second.wait_for_turn()
    second.reader.records |= {offset: make_inbox_record(offset) for offset in (1, 2)}
    second.reader.skip_to = 2
    for lane in (first, second):
        lane.stored.set()
    await second.until(lambda: second.ports.published and second.ports.published[-1][0] == 3)
    assert (second.ports.batches, second.count_starts()) == ([[0], [1, 2]], 1)
    await second.end()
    await first.end()


async def test_a_gap_behind_the_first_records_is_noticed(turns: Turns) -> None:
    first, second = StoringLane(turns, 0), StoringLane(turns, 0)
    second.ports.positions._answers.append(Position(0, 1, second.ports.positions._answers[0].owner))
    await second.wait_for_turn()
    second.reader.records[2] = make_inbox_record(2)
    for lane in (first, second):
        lane.stored.set()
    await second.until(lambda: second.ports.published and second.ports.published[-1][0] == 3)
    assert (second.ports.batches, second.count_starts()) == ([[0], [2]], 2)
    assert "lane.lost" in second.log.list_names()
    await second.end()
    await first.end()


async def test_publishing_is_not_part_of_a_turn(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_module, "BATCH_RECORDS", 1)
    first = StoringLane(turns, 0, 1)
    monkeypatch.setattr(first.ports, "make_publisher", lambda _: HangingPublisher(first.ports))
    first.stored.set()
    # It has stored two batches, and waits until the first of them is published.
    await first.until(lambda: "store 2" in first.ports.happened)
    second = StoringLane(turns, 0)
    await second.until(lambda: second.is_storing)
    await second.end()
    first.task.cancel()
    await asyncio.wait({first.task}, timeout=1)
