"""Check of the source topics: records that were removed before they were read, or will be soon."""

import time
from collections.abc import Mapping
from typing import Final

from worker.doctor.check import Check, Checks
from worker.kafka.admin import TopicState
from worker.kafka.connection import KafkaConnection
from worker.kafka.group_offsets import read_group_offsets
from worker.kafka.open_transactions import OpenTransaction, find_open_transactions
from worker.kafka.topic_log import open_topic_log
from worker.pipeline.source_topics import compare_sources, name_intake_group
from worker.settings import KafkaSettings

_NEVER: Final = 2**63 - 1
_MS_PER_HOUR: Final = 3_600_000
_LONG_TRANSACTION_SECONDS: Final = 30
"""A transaction that makes progress ends within seconds; Kafka's clients give up after 60 s by default."""


async def check_sources(kafka: KafkaConnection, settings: KafkaSettings, topics: Mapping[str, TopicState]) -> Checks:
    """Check the source topics; raises ``KafkaDown``.

    Args:
        kafka: how to reach Kafka.
        settings: the group and the prefix of the topics.
        topics: those that exist, by name without prefix.

    Yields:
        The results.
    """
    seen = await compare_sources(kafka, settings.kafka_group_id, settings.topics)
    for (topic, number), (first, after) in seen.removed.items():
        found = f"{topic}/{number}: records {first} to {after - 1} were removed before they were read"
        yield Check("sources", "error", found, "have them sent again, and raise the retention of the topic")
    for topic, number in seen.recreated:
        found = f"{topic}/{number} was recreated since it was read"
        yield Check("sources", "warning", found, "nothing: a worker reads it from its start")
    all_ok = not seen.removed and not seen.recreated
    for name, state in topics.items():
        async for check in _check_retention(kafka, settings.kafka_group_id, settings.topics.full(name), state):
            all_ok = False
            yield check
        for transaction in await find_open_transactions(kafka, settings.topics.full(name)):
            if (check := _describe_transaction(settings.topics.full(name), transaction)).state != "ok":
                all_ok = False
                yield check
    if all_ok:
        yield Check("sources", "ok", "no record was removed before it was read, or will be soon")


def _describe_transaction(topic: str, transaction: OpenTransaction) -> Check:
    """Warn about a transaction that has been open for longer than one that still makes progress."""
    seconds = int(time.time()) - transaction.since_ms // 1000  # noqa: TID251 - only an age is shown
    found = (
        f"{topic}/{transaction.partition}: a writer has not ended its transaction for {seconds} s; "
        f"the {transaction.waiting} records from offset {transaction.offset} on cannot be read"
    )
    to_do = "restart or stop that writer; writers of source topics should not use transactions"
    return Check("sources", "warning" if seconds > _LONG_TRANSACTION_SECONDS else "ok", found, to_do)


async def _check_retention(kafka: KafkaConnection, group_id: str, topic: str, state: TopicState) -> Checks:
    """Find unread records that have reached half of the age at which the topic removes them."""
    kept_ms = int(state.settings.get("retention.ms", "-1"))
    kept_ms = _NEVER if kept_ms < 0 else kept_ms
    async with open_topic_log(kafka, topic) as log:
        partitions = [(topic, number) for number in log.bounds]
        offsets = await read_group_offsets(kafka, name_intake_group(group_id), partitions)
        for number, (start, end) in log.bounds.items():
            offset = offsets.get((topic, number))
            record = await log.get(number, offset.offset if offset else start)
            if record is None or end == start:
                continue
            age_ms = int(time.time() * 1000) - record.timestamp_ms  # noqa: TID251 - only an age is shown
            if age_ms > kept_ms / 2:
                waited, kept = age_ms // _MS_PER_HOUR, kept_ms // _MS_PER_HOUR
                found = f"{topic}/{number}: a record has waited {waited} h, and is removed after {kept} h"
                yield Check("sources", "error", found, "start a worker, or raise retention.ms of the topic now")
