"""Finds where in Kafka the messages of one budget are: by time, since the database does not keep their offsets.

It reads the topics without joining a group, so it moves nobody's offset.
"""

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from typing import Final
from uuid import UUID

from contracts.cloudevents.trace_context import drop_trace
from contracts.records import Headers, Place
from outbox.budget_record import SentMessage
from worker.deployment import Deployment
from worker.kafka.group_offsets import read_group_offsets
from worker.kafka.topic_log import choose_partition, open_topic_log

MOST_RECORDS: Final = 50_000
"""How many records of each topic are searched."""

CLOCK_TOLERANCE: Final = timedelta(seconds=5)
"""How far the clocks of two brokers may differ."""

NOT_PUBLISHED: Final = "not published yet"
NOT_FOUND: Final = "not in the topic any more"

Location = Place | str
"""A place, or why there is none."""


async def find_locations(deployment: Deployment, sent: Sequence[SentMessage]) -> dict[UUID, Location]:
    """Find where each message is.

    Args:
        deployment: the deployment that sent the messages.
        sent: messages of one budget.

    Returns:
        Where each message is by its id, or why that is not known.

    Raises:
        KafkaDown: Kafka does not answer.
    """
    inbox = deployment.topics.inbox
    lanes = [(inbox, number) for number in {message.inbox_partition for message in sent}]
    offsets = await read_group_offsets(deployment.kafka, deployment.group_id, lanes)
    found: dict[UUID, Location] = {}
    visible = []
    for message in sent:
        offset = offsets.get((inbox, message.inbox_partition))
        if offset and message.inbox_offset < offset.offset:
            visible.append(message)
        else:
            found[message.id] = NOT_PUBLISHED
    for topic, messages in groupby(sorted(visible, key=lambda one: (one.topic, one.at)), lambda one: one.topic):
        found |= await _find_in(deployment, topic, list(messages))
    return found


async def _find_in(deployment: Deployment, topic: str, messages: Sequence[SentMessage]) -> dict[UUID, Location]:
    wanted: dict[tuple[bytes | None, Headers], UUID] = {(one.key, drop_trace(one.headers)): one.id for one in messages}
    found: dict[UUID, Location] = dict.fromkeys(wanted.values(), NOT_FOUND)
    searched = 0
    async with open_topic_log(deployment.kafka, topic) as log:
        keys = {message.key for message in messages}
        some = {choose_partition(key, len(log.bounds)) for key in keys if key is not None}
        starts = await log.find_offsets(log.bounds if None in keys else some, messages[0].at - CLOCK_TOLERANCE)
        async for records in log.read(starts):
            for record in records:
                if message_id := wanted.pop((record.key, drop_trace(record.headers)), None):
                    found[message_id] = record.place
            searched += len(records)
            if not wanted or searched > MOST_RECORDS:
                break
    return found
