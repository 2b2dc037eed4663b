"""Keeps a client of aiokafka's in its group where aiokafka, left to itself, would stay out of it for good."""

import asyncio

from aiokafka import AIOKafkaConsumer


def attend_group(consumer: AIOKafkaConsumer) -> None:
    """Do for the membership what a fetch does, and have started again what has ended; call it every few seconds.

    A member that nobody fetches from, such as that of a worker without lanes, leaves its group after
    ``max_poll_interval_ms`` and does not join again. An error of the group waits to be raised by a fetch, and until
    then nothing more is tried. Heartbeats, and the reading of offsets, end at the first refusal, such as that of an ACL
    which is missing for a moment; their error is then raised at every fetch, whatever Kafka answers by now. Only a
    rebalance starts heartbeats again.

    So aiokafka no longer judges whether records are worked on: each step of that has a deadline of its own.

    Args:
        consumer: a started client with a group.

    Raises:
        KafkaError: what has kept it from its group; it tries again.
    """
    # There is no other way to any of it.
    coordinator, subscription = consumer._coordinator, consumer._subscription  # noqa: SLF001 - see above
    if _has_failed(coordinator._heartbeat_task):  # noqa: SLF001 - see above
        coordinator.request_rejoin()
    elif _has_failed(coordinator._commit_refresh_task):  # noqa: SLF001 - see above
        coordinator.start_commit_offsets_refresh_task(subscription.subscription.assignment)
    with subscription.fetch_context():
        pass
    coordinator.check_errors()


def _has_failed(task: "asyncio.Task[None] | None") -> bool:
    return task is not None and task.done() and not task.cancelled() and task.exception() is not None
