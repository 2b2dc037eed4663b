"""The surface over aiokafka, on a real broker: what a lane relies on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

from contracts.records import Outgoing, Record
from worker.kafka.admin import GroupState, NewTopicSpec, count_partitions, create_topics, describe_group
from worker.kafka.connection import KafkaConnection
from worker.kafka.consumer import Consumer
from worker.kafka.errors import KafkaDown, LaneLost, MessageTooLarge, NotPermitted
from worker.kafka.group_offsets import GroupOffset, Partition, read_group_offsets
from worker.kafka.producer import Appender, Publisher


@pytest.fixture
async def topic(kafka: str) -> str:
    name = f"k{uuid4().hex[:8]}"
    settings = {"max.message.bytes": "100000"}
    assert await create_topics(KafkaConnection(kafka), [NewTopicSpec(name, 1, settings)], 1) == [name]
    assert await create_topics(KafkaConnection(kafka), [NewTopicSpec(name, 1, settings)], 1) == []
    return name


@pytest.fixture
async def reader(kafka: str, topic: str) -> AsyncIterator[Consumer]:
    opened = Consumer(KafkaConnection(kafka), f"{topic}-reader", [topic], start="earliest")
    await opened.start()
    yield opened
    await opened.close(2.0)


async def read(reader: Consumer, count: int, patience: float = 20.0) -> list[Record]:
    found: list[Record] = []
    until = time.monotonic() + patience
    while len(found) < count:
        assert time.monotonic() < until, found
        found.extend(await reader.fetch_any(100, 0.1))
    return found


def outgoing(topic: str, value: bytes | None, key: bytes | None = b"k") -> Outgoing:
    return Outgoing(topic, key, value, (("a", b"\xff"), ("b", None)))


async def test_records_travel_untouched(kafka: str, topic: str, reader: Consumer) -> None:
    appender = Appender(KafkaConnection(kafka))
    await appender.append([outgoing(topic, b"one"), outgoing(topic, None, None)])
    first, second = await read(reader, 2)
    assert (first.key, first.value, first.headers) == (b"k", b"one", (("a", b"\xff"), ("b", None)))
    assert (second.key, second.value, second.place.offset) == (None, None, 1)
    with pytest.raises(MessageTooLarge):
        await appender.append([outgoing(topic, b"x" * 200_000)])
    await appender.append([outgoing(topic, b"still usable")])
    assert (await read(reader, 1))[0].value == b"still usable"
    await appender.close(2.0)


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
async def test_records_are_read_whatever_they_were_packed_with(
    kafka: str, topic: str, reader: Consumer, codec: str
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, compression_type=codec)
    await producer.start()
    await producer.send_and_wait(topic, b"x" * 5000)
    await producer.stop()
    assert (await read(reader, 1))[0].value == b"x" * 5000


async def test_a_transaction_carries_records_and_offset_together(kafka: str, topic: str, reader: Consumer) -> None:
    connection, place = KafkaConnection(kafka), (topic, 0)
    assert await read_group_offsets(connection, topic, [place], 10.0) == {}
    publisher = Publisher(connection, f"{topic}-lane", topic, place)
    await publisher.start()
    await publisher.publish(GroupOffset(5, "ours"), [outgoing(topic, b"1"), outgoing(topic, b"2")], within=10.0)
    await publisher.publish(GroupOffset(6, "ours"), [], within=10.0)
    assert [record.value for record in await read(reader, 2)] == [b"1", b"2"]
    # What is too large aborts its transaction: nothing of it is visible.
    with pytest.raises(MessageTooLarge):
        await publisher.publish(
            GroupOffset(7, "lost"), [outgoing(topic, b"3"), outgoing(topic, b"x" * 200_000)], within=10.0
        )
    await publisher.close(2.0)
    successor = Publisher(connection, f"{topic}-lane", topic, place)
    await successor.start()
    assert await read_group_offsets(connection, topic, [place], 10.0) == {place: GroupOffset(6, "ours")}
    await successor.publish(GroupOffset(8, "ours"), [outgoing(topic, b"4")], within=10.0)
    assert [record.value for record in await read(reader, 1)] == [b"4"]
    await successor.close(2.0)


async def test_what_is_sent_is_seen_only_if_it_is_committed(kafka: str, topic: str, reader: Consumer) -> None:
    connection, place = KafkaConnection(kafka), (topic, 0)
    publisher, successor = (Publisher(connection, f"{topic}-lane", topic, place) for _ in range(2))
    await publisher.start()
    await publisher.begin(GroupOffset(1, "dropped"), within=10.0)
    await publisher.send([outgoing(topic, b"a"), outgoing(topic, b"b")], within=10.0)
    await publisher.abort(within=10.0)
    await publisher.begin(GroupOffset(2, "dropped"), within=10.0)
    await publisher.abort(within=10.0)
    await publisher.publish(GroupOffset(3, "ours"), [outgoing(topic, b"c")], within=10.0)
    # A lane that ends here leaves this open; its successor ends it.
    await publisher.begin(GroupOffset(4, "left open"), within=10.0)
    await publisher.send([outgoing(topic, b"d")], within=10.0)
    await publisher.close(2.0)
    await successor.start()
    assert await read_group_offsets(connection, topic, [place], 10.0) == {place: GroupOffset(3, "ours")}
    await successor.publish(GroupOffset(5, "ours"), [outgoing(topic, b"e")], within=10.0)
    assert [record.value for record in await read(reader, 2)] == [b"c", b"e"]
    assert await read_group_offsets(connection, topic, [place], 10.0) == {place: GroupOffset(5, "ours")}
    await successor.close(2.0)


async def test_a_zombie_is_fenced(kafka: str, topic: str, reader: Consumer) -> None:
    connection, place = KafkaConnection(kafka), (topic, 0)
    zombie, successor = (Publisher(connection, f"{topic}-lane", topic, place) for _ in range(2))
    await zombie.start()
    await zombie.publish(GroupOffset(1, ""), [outgoing(topic, b"before")], within=10.0)
    await successor.start()
    for _ in range(2):
        with pytest.raises(LaneLost):
            await zombie.publish(GroupOffset(2, ""), [outgoing(topic, b"from the grave")], within=10.0)
    await successor.publish(GroupOffset(3, ""), [outgoing(topic, b"after")], within=10.0)
    assert [record.value for record in await read(reader, 2)] == [b"before", b"after"]
    for publisher in (zombie, successor):
        await publisher.close(2.0)


async def test_a_lane_reads_from_where_it_seeks(kafka: str, topic: str) -> None:
    assigned: asyncio.Queue[list[Partition]] = asyncio.Queue()
    appender = Appender(KafkaConnection(kafka))
    await appender.append([outgoing(topic, b"%d" % number) for number in range(5)])
    reader = Consumer(KafkaConnection(kafka), f"{topic}-lanes", [topic], start="none", on_assigned=assigned.put)
    await reader.start()
    [place] = await asyncio.wait_for(assigned.get(), 20)
    assert await reader.bounds(place) == (0, 5)
    for offset in (3, 1):
        await reader.seek(place, offset)
        found: list[Record] = []
        while not found:
            found = await reader.fetch(place, 1, 0.2)
        assert found[0].place.offset == offset
    reader.pause(place)
    assert await reader.fetch(place, 9, 0.3) == []
    await reader.close(2.0)
    await appender.close(2.0)


async def test_what_a_callback_raises_is_not_lost(kafka: str, topic: str) -> None:
    async def fail(_: list[Partition]) -> None:
        raise RuntimeError("planted")

    reader = Consumer(KafkaConnection(kafka), f"{topic}-failing", [topic], start="earliest", on_assigned=fail)
    await reader.start()
    until = time.monotonic() + 20
    with pytest.raises(RuntimeError, match="planted"):
        while time.monotonic() < until:
            await reader.fetch_any(1, 0.1)
    await reader.close(2.0)


async def test_members_that_nobody_fetches_from_stay_in_their_group(kafka: str, topic: str) -> None:
    """As that of a spare worker, which has no lane: it takes over, however long it has had nothing to fetch."""
    connection, group = KafkaConnection(kafka), f"{topic}-spares"
    members: list[Any] = [Consumer(connection, group, [topic], start="earliest") for _ in range(2)]
    for member in members:
        # aiokafka lets a member leave for good that has not fetched for so long.
        member._options["max_poll_interval_ms"] = 3000
        await member.start()

    async def attend(*those: Any) -> None:
        for member in those:
            await member.find_stalled(15.0)
        await asyncio.sleep(0.1)

    async def are_both_there() -> bool:
        with suppress(KafkaDown):  # the broker may only be making the group's coordinator
            return await describe_group(connection, group) == GroupState("Stable", 2)
        return False

    async with asyncio.timeout(20):
        while not await are_both_there():
            await attend(*members)
    later = time.monotonic() + 8.0
    while time.monotonic() < later:
        await attend(*members)
    assert await are_both_there()
    [spare] = [member for member in members if not member._assignment]
    [active] = [member for member in members if member is not spare]
    await active.close(2.0)
    async with asyncio.timeout(20):
        while not spare._assignment:
            await attend(spare)
    await spare.close(2.0)


async def test_offsets_that_were_refused_are_read_again(kafka: str, topic: str) -> None:
    appender = Appender(KafkaConnection(kafka))
    await appender.append([outgoing(topic, b"one")])
    await appender.close(2.0)
    member: Any = Consumer(KafkaConnection(kafka), f"{topic}-refused", [topic], start="earliest")
    await member.start()
    coordinator = member._consumer._coordinator
    read = coordinator._do_fetch_commit_offsets

    async def refuse(_: object) -> None:
        coordinator._do_fetch_commit_offsets = read
        raise TopicAuthorizationFailedError(topic)

    coordinator._do_fetch_commit_offsets = refuse
    found: list[Record] = []
    refusals = 0
    async with asyncio.timeout(20):
        while not found:
            try:
                await member.find_stalled(15.0)
                found = await member.fetch_any(1, 0.1)
            except NotPermitted:
                refusals += 1
    assert (found[0].value, refusals > 0) == (b"one", True)
    await member.close(2.0)


async def test_a_broker_that_is_not_there() -> None:
    nowhere = KafkaConnection("127.0.0.1:9")
    with pytest.raises(KafkaDown):
        await count_partitions(nowhere, ["any"])
    publisher = Publisher(nowhere, "lane", "group", ("any", 0))
    with pytest.raises(KafkaDown):
        await publisher.start()
    await publisher.close(2.0)
    with pytest.raises(KafkaDown):
        await Appender(nowhere).append([outgoing("any", b"")])
    with pytest.raises(KafkaDown):
        await read_group_offsets(nowhere, "group", [("any", 0)], 2.0)


async def test_the_ends_of_a_partition_show_a_transaction_that_is_left_open(
    kafka: str, topic: str, reader: Consumer
) -> None:
    place = (topic, 0)
    writer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"{topic}-writer")
    await writer.start()
    await writer.begin_transaction()
    await writer.send_and_wait(topic, b"never committed")
    appender = Appender(KafkaConnection(kafka))
    await appender.append([outgoing(topic, b"behind it")])
    until = time.monotonic() + 20
    while reader.list_ends().get(place) != (0, 2):
        assert time.monotonic() < until, reader.list_ends()
        assert await reader.fetch_any(100, 0.1) == []
    await writer.abort_transaction()
    assert [record.value for record in await read(reader, 1)] == [b"behind it"]
    assert reader.list_ends()[place] == (3, 3)
    await writer.stop()
    await appender.close(2.0)
