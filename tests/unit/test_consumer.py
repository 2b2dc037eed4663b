"""What the consumer keeps aiokafka from doing: nothing drained is lost, and nothing waits without a limit."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError

from worker.kafka import consumer as consumer_module
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.errors import KafkaDown
from worker.kafka.group_offsets import GroupOffset

A, B = TopicPartition("a", 0), TopicPartition("b", 0)


def make_raw(place: TopicPartition, offset: int) -> Any:
    return SimpleNamespace(
        topic=place.topic, partition=place.partition, offset=offset, timestamp=1, key=b"", value=b"", headers=()
    )


class AiokafkaConsumer:
    """aiokafka's consumer, as far as ours uses it: it moves past what it drains, whether or not it then fails."""

    def __init__(self) -> None:
        self.positions = {A: 0, B: 0}
        self.fails: BaseException | None = None
        self.blocked = asyncio.Event()
        self.blocked.set()
        self.commits: list[Any] = []
        self.resting: set[TopicPartition] = set()
        self.stop_fails = False
        state = SimpleNamespace(tps=set(self.positions), state_value=self._state)
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=state))

    def _state(self, place: TopicPartition) -> Any:
        return SimpleNamespace(has_valid_position=True, position=self.positions[place])

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    def paused(self) -> set[TopicPartition]:
        return self.resting

    def pause(self, *places: TopicPartition) -> None:
        self.resting |= set(places)

    def resume(self, *places: TopicPartition) -> None:
        self.resting -= set(places)

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.positions[place] = offset

    async def getmany(self, *places: TopicPartition, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        assert timeout_ms >= 0
        assert max_records > 0
        asked = [place for place in places or (A, B) if place not in self.resting]
        await self.blocked.wait()
        found = {}
        for place in asked:
            if place == B and self.fails:
                failure, self.fails = self.fails, None
                raise failure
            found[place] = [make_raw(place, self.positions[place])]
            self.positions[place] += 1
        return found

    async def commit(self, offsets: Any) -> None:
        await self.blocked.wait()
        self.commits.append(offsets)

    async def stop(self) -> None:
        if self.stop_fails:
            raise asyncio.CancelledError


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, AiokafkaConsumer]:
    monkeypatch.setattr(consumer_module, "SERVER_SECONDS", 0.05)
    consumer: Any = Consumer(KafkaConnection("127.0.0.1:1"), "group", ["a", "b"], start="earliest")
    consumer._consumer = AiokafkaConsumer()
    return consumer, consumer._consumer


async def list_fetched(consumer: Consumer, wanted: Callable[[list[tuple[str, int]]], bool]) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    async with asyncio.timeout(5):
        while not wanted(found):
            found += [(record.place.topic, record.place.offset) for record in await consumer.fetch_any(10, 0.01)]
    return found


@pytest.mark.parametrize(
    "failure", [CorruptRecordException("crc"), KafkaError("odd"), UnicodeDecodeError("x", b"", 0, 1, "")]
)
async def test_what_was_drained_before_another_partition_failed_is_fetched_again(
    opened: tuple[Any, AiokafkaConsumer], failure: BaseException
) -> None:
    consumer, kafka = opened
    kafka.fails = failure
    if isinstance(failure, CorruptRecordException):
        assert await consumer.fetch_any(10, 0.01) == []
    else:
        with pytest.raises(KafkaDown if isinstance(failure, KafkaError) else UnicodeDecodeError):
            await consumer.fetch_any(10, 0.01)
    assert await list_fetched(consumer, lambda found: len(found) >= 2) == [("a", 0), ("b", 0)]


async def test_a_fetch_that_its_caller_gave_up_keeps_what_it_takes(opened: tuple[Any, AiokafkaConsumer]) -> None:
    consumer, kafka = opened
    kafka.blocked.clear()
    fetching = asyncio.create_task(consumer.fetch_any(10, 10.0))
    await asyncio.sleep(0.01)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    kafka.blocked.set()
    assert await list_fetched(consumer, lambda found: len(found) >= 2) == [("a", 0), ("b", 0)]


async def test_polling_loses_nothing(opened: tuple[Any, AiokafkaConsumer]) -> None:
    consumer, kafka = opened
    kafka.blocked.clear()
    assert await consumer.fetch_any(10, 0.0) == []
    kafka.blocked.set()
    await consumer.poll(0.01)
    assert not kafka.resting
    assert await list_fetched(consumer, lambda found: len(found) >= 2) == [("a", 0), ("b", 0)]


async def test_a_seek_waits_for_an_earlier_fetch_but_not_for_ever(opened: tuple[Any, AiokafkaConsumer]) -> None:
    consumer, kafka = opened
    kafka.blocked.clear()
    assert await consumer.fetch(("a", 0), 10, 0.0) == []
    with pytest.raises(KafkaDown, match="has not ended"):
        await consumer.seek(("a", 0), 7)
    kafka.blocked.set()
    await asyncio.sleep(0)
    await consumer.seek(("a", 0), 7)
    assert [record.place.offset for record in await consumer.fetch(("a", 0), 10, 0.1)] == [7]


async def test_a_commit_that_is_not_answered_ends(opened: tuple[Any, AiokafkaConsumer]) -> None:
    consumer, kafka = opened
    kafka.blocked.clear()
    with pytest.raises(KafkaDown):
        await consumer.commit({("a", 0): GroupOffset(1, "")})


async def test_a_consumer_that_has_left_commits_and_hands_out_nothing(opened: tuple[Any, AiokafkaConsumer]) -> None:
    consumer, kafka = opened
    await consumer.close(0.05)
    await consumer.commit({("a", 0): GroupOffset(1, "")})
    assert (kafka.commits, await consumer.fetch_any(10, 0.0)) == ([], [])
    with pytest.raises(KafkaDown):
        await consumer.bounds(("a", 0))


async def test_a_rejoin_survives_a_client_that_gives_up_its_own_stop(
    opened: tuple[Any, AiokafkaConsumer], monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer, kafka = opened
    kafka.stop_fails = True
    joined: list[int] = []

    async def start() -> None:
        joined.append(1)

    monkeypatch.setattr(consumer, "start", start)
    await consumer.rejoin()
    assert joined == [1]


async def test_a_fetch_from_before_a_rejoin_does_not_stand_in_the_way_after_it(
    opened: tuple[Any, AiokafkaConsumer],
) -> None:
    consumer, before = opened
    before.blocked.clear()
    fetching = asyncio.create_task(consumer.fetch_any(10, 0.01))
    await asyncio.sleep(0)
    await consumer.close(0.05)
    consumer._consumer = AiokafkaConsumer()
    assert await fetching == []
    assert await list_fetched(consumer, lambda found: len(found) >= 2) == [("a", 0), ("b", 0)]


async def test_a_seek_that_is_given_up_leaves_the_fetch_that_it_waited_for_to_the_next(
    opened: tuple[Any, AiokafkaConsumer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "SERVER_SECONDS", 5.0)
    consumer, kafka = opened
    kafka.blocked.clear()
    assert await consumer.fetch(("a", 0), 10, 0.0) == []
    seeking = asyncio.create_task(consumer.seek(("a", 0), 7))
    await asyncio.sleep(0.01)
    seeking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await seeking
    again = asyncio.create_task(consumer.seek(("a", 0), 7))
    await asyncio.sleep(0.01)
    kafka.blocked.set()
    await again
    assert [record.place.offset for record in await consumer.fetch(("a", 0), 10, 0.1)] == [7]


async def test_partitions_assigned_to_a_member_that_leaves_are_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, list[Any]]] = []
    listeners: list[Any] = []

    class Client(AiokafkaConsumer):
        def __init__(self, **_: Any) -> None:
            super().__init__()

        async def start(self) -> None: ...

        def subscribe(self, _: Any, listener: Any) -> None:
            listeners.append(listener)

        async def stop(self) -> None:
            # aiokafka lets a rebalance that is under way end first.
            await listeners[0].on_partitions_assigned({A})

    async def find_server(connection: KafkaConnection) -> KafkaConnection:
        return connection

    async def revoke(places: list[Any]) -> None:
        events.append(("revoked", places))
        if len(listeners) == 1:
            await listeners[0].on_partitions_revoked({A, B})
            await listeners[0].on_partitions_assigned({A, B})

    async def assign(places: list[Any]) -> None:
        events.append(("assigned", places))

    monkeypatch.setattr(consumer_module, "AIOKafkaConsumer", Client)
    monkeypatch.setattr(KafkaConnection, "find_server", find_server)
    consumer = Consumer(
        KafkaConnection("127.0.0.1:1"), "group", ["a", "b"], start="none", on_assigned=assign, on_revoked=revoke
    )
    await consumer.start()
    await listeners[0].on_partitions_assigned({A, B})
    await consumer.rejoin()
    await listeners[1].on_partitions_assigned({B})
    both = [tuple(A), tuple(B)]
    assert events == [("assigned", both), ("revoked", both), ("assigned", [tuple(B)])]


async def test_a_rejoin_waits_for_a_revocation_that_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    listeners: list[Any] = []
    release = asyncio.Event()

    class Client(AiokafkaConsumer):
        def __init__(self, **_: Any) -> None:
            super().__init__()

        async def start(self) -> None:
            events.append("joined")

        def subscribe(self, _: Any, listener: Any) -> None:
            listeners.append(listener)

        async def stop(self) -> None:
            events.append("left")

    async def find_server(connection: KafkaConnection) -> KafkaConnection:
        return connection

    async def revoke(_: list[Any]) -> None:
        events.append("stopping lanes")
        await release.wait()
        events.append("lanes stopped")

    monkeypatch.setattr(consumer_module, "AIOKafkaConsumer", Client)
    monkeypatch.setattr(KafkaConnection, "find_server", find_server)
    consumer = Consumer(KafkaConnection("127.0.0.1:1"), "group", ["a"], start="none", on_revoked=revoke)
    await consumer.start()
    revoking = asyncio.create_task(listeners[0].on_partitions_revoked({A}))
    await asyncio.sleep(0)
    rejoining = asyncio.create_task(consumer.rejoin())
    await asyncio.sleep(0.01)
    assert events == ["joined", "stopping lanes"]
    release.set()
    await asyncio.gather(revoking, rejoining)
    assert events == ["joined", *["stopping lanes", "lanes stopped"] * 2, "left", "joined"]
