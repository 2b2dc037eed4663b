"""Checks of one topic: its settings against what the bridge needs of it, and its replicas."""

from collections.abc import Iterator

from contracts.topics import INBOX, TopicSetup
from worker.doctor.check import Check
from worker.kafka.admin import TopicState
from worker.kafka.errors import GRANT_ACLS


def check_topic(name: str, topic: TopicState, setup: TopicSetup, brokers: int) -> Iterator[Check]:
    """Check a topic; yields nothing if it is set up correctly.

    Args:
        name: its full name.
        topic: how it is set up.
        setup: what the bridge needs.
        brokers: how many brokers the cluster has.

    Yields:
        Warnings and errors.
    """
    if topic.settings:
        yield from _check_messages(name, topic, setup)
        yield from _check_retention(name, topic, setup)
        yield from _check_replicas(name, topic, brokers)
    else:
        found = f"the settings of {name} may not be read: this user lacks the ACL DescribeConfigs on topic {name}"
        yield Check("permissions", "warning", found, GRANT_ACLS)


def find_size_shortfall(topic: TopicState, setup: TopicSetup) -> tuple[int, int] | None:
    """Compare the largest message that a topic takes with the largest that there may be.

    Returns:
        Both in bytes where the topic takes too little, ``None`` if it takes enough or its settings are unknown.
    """
    if "max.message.bytes" not in topic.settings:
        return None
    takes, needed = int(topic.settings["max.message.bytes"]), int(setup.settings["max.message.bytes"])
    return (takes, needed) if takes < needed else None


def _check_messages(name: str, topic: TopicState, setup: TopicSetup) -> Iterator[Check]:
    if shortfall := find_size_shortfall(topic, setup):
        to_do = f"set it to {shortfall[1]}: a larger budget would stop a lane"
        yield Check("topics", "error", f"{name}: max.message.bytes is {shortfall[0]}", to_do)
    setting = "message.timestamp.type"
    if setup.settings.get(setting, topic.settings.get(setting)) != topic.settings.get(setting):
        to_do = f"set it to {setup.settings[setting]}: the bridge must not depend on a worker's clock"
        yield Check("topics", "error", f"{name}: {setting} is {topic.settings.get(setting)}", to_do)


def _check_retention(name: str, topic: TopicState, setup: TopicSetup) -> Iterator[Check]:
    policy = topic.settings.get("cleanup.policy", "")
    if setup.settings.get("cleanup.policy") == "compact":
        if "compact" not in policy:
            to_do = "set it to compact: the latest message of each budget counts"
            yield Check("topics", "warning", f"{name}: cleanup.policy is {policy}", to_do)
    elif "compact" in policy:
        yield Check("topics", "error", f"{name}: cleanup.policy is {policy}: messages are removed", "set it to delete")
    for setting in ("retention.ms", "retention.bytes"):
        if setup.name == INBOX and topic.settings.get(setting) != "-1":
            found = f"{name}: {setting} is {topic.settings.get(setting)}"
            yield Check("topics", "warning", found, "set it to -1: the database is rebuilt from the inbox")


def _check_replicas(name: str, topic: TopicState, brokers: int) -> Iterator[Check]:
    needed = int(topic.settings.get("min.insync.replicas", 1))
    if topic.copies < needed:
        found = f"{name}: min.insync.replicas is {needed}, but it has {topic.copies} replicas: nothing can be written"
        yield Check("topics", "error", found, f"set it to {topic.copies} or add replicas")
    elif topic.in_sync < needed:
        found = f"{name}: {topic.in_sync} replicas are in sync, min.insync.replicas is {needed}: nothing can be written"
        yield Check("topics", "error", found, "start the brokers that are down")
    elif topic.in_sync < topic.copies:
        found = f"{name}: {topic.in_sync} of {topic.copies} replicas are in sync"
        yield Check("topics", "warning", found, "check the broker that is behind")
    if topic.copies == 1 < brokers:
        found = f"{name}: one replica, on a cluster of {brokers} brokers"
        yield Check("topics", "warning", found, "add replicas: the topic is lost with its broker")
