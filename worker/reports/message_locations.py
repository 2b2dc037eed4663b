"""Where in Kafka that stands which was sent for one budget: found by time, since nobody writes offsets down.

It reads the topics beside whoever else reads them: it joins no group and moves nobody's offset.
"""

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from typing import Final
from uuid import UUID

from contracts.cloudevents.trace_context import drop_trace
from contracts.records import Headers, Place
from outbox.deployment import SentMessage
from worker.deployment import Deployment
from worker.kafka.group_offsets import read_group_offsets
from worker.kafka.topic_log import choose_partition, open_topic_log

AT_MOST: Final = 50_000
"""Records that are looked through for each topic."""

CLOCKS: Final = timedelta(seconds=5)
"""So far the clocks of two brokers may be apart."""

NOT_PUBLISHED: Final = "not published yet"
NOT_FOUND: Final = "no longer there"

Location = Place | str
"""A place, or in words why there is none."""


async def find_locations(scene: Deployment, sent: Sequence[SentMessage]) -> dict[UUID, Location]:
    """Find where each message stands; raises ``KafkaDown``."""
    inbox = scene.topics.inbox
    lanes = [(inbox, number) for number in {message.inbox_partition for message in sent}]
    offsets = await read_group_offsets(scene.kafka, scene.group_id, lanes)
    found: dict[UUID, Location] = {}
    visible = []
    for message in sent:
        offset = offsets.get((inbox, message.inbox_partition))
        if offset and message.inbox_offset < offset.offset:
            visible.append(message)
        else:
            found[message.id] = NOT_PUBLISHED
    for topic, messages in groupby(sorted(visible, key=lambda one: (one.topic, one.at)), lambda one: one.topic):
        found |= await _find_in(scene, topic, list(messages))
    return found


async def _find_in(scene: Deployment, topic: str, messages: Sequence[SentMessage]) -> dict[UUID, Location]:
    wanted: dict[tuple[bytes | None, Headers], UUID] = {(one.key, drop_trace(one.headers)): one.id for one in messages}
    found: dict[UUID, Location] = dict.fromkeys(wanted.values(), NOT_FOUND)
    looked_at = 0
    async with open_topic_log(scene.kafka, topic) as log:
        keys = {message.key for message in messages}
        some = {choose_partition(key, len(log.bounds)) for key in keys if key is not None}
        starts = await log.find_offsets(log.bounds if None in keys else some, messages[0].at - CLOCKS)
        async for records in log.read(starts):
            for record in records:
                if message_id := wanted.pop((record.key, drop_trace(record.headers)), None):
                    found[message_id] = record.place
            looked_at += len(records)
            if not wanted or looked_at > AT_MOST:
                break
    return found
