"""The doctor's look at one topic: its settings beside what its use needs, and its copies."""

from collections.abc import Iterator

from contracts.topics import INBOX, TopicSetup
from worker.doctor.checks import Check
from worker.kafka.admin import TopicState


def examine_topic(name: str, topic: TopicState, setup: TopicSetup, brokers: int) -> Iterator[Check]:
    """Look at a topic; nothing is said of one that is as it must be."""
    if topic.settings:
        yield from _examine_form(name, topic, setup)
        yield from _examine_keeping(name, topic, setup)
        yield from _examine_copies(name, topic, brokers)
    else:
        to_do = "give this user the ACL DescribeConfigs on it"
        yield Check("permissions", "look", f"the settings of {name} may not be read", to_do)


def find_small(topic: TopicState, setup: TopicSetup) -> tuple[int, int] | None:
    """Find the largest message that a topic takes and the largest there may be, where it takes too little."""
    if "max.message.bytes" not in topic.settings:
        return None
    takes, needed = int(topic.settings["max.message.bytes"]), int(setup.settings["max.message.bytes"])
    return (takes, needed) if takes < needed else None


def _examine_form(name: str, topic: TopicState, setup: TopicSetup) -> Iterator[Check]:
    if small := find_small(topic, setup):
        to_do = f"set it to {small[1]}: a larger budget would stop a lane"
        yield Check("topics", "wrong", f"{name}: max.message.bytes is {small[0]}", to_do)
    setting = "message.timestamp.type"
    if setup.settings.get(setting, topic.settings.get(setting)) != topic.settings.get(setting):
        says = f"{name}: {setting} is {topic.settings.get(setting)}"
        yield Check("topics", "wrong", says, f"set it to {setup.settings[setting]}: no worker's clock must matter")


def _examine_keeping(name: str, topic: TopicState, setup: TopicSetup) -> Iterator[Check]:
    policy = topic.settings.get("cleanup.policy", "")
    if setup.settings.get("cleanup.policy") == "compact":
        if "compact" not in policy:
            to_do = "set it to compact: the latest of each budget is its state"
            yield Check("topics", "look", f"{name}: cleanup.policy is {policy}", to_do)
    elif "compact" in policy:
        yield Check("topics", "wrong", f"{name}: cleanup.policy is {policy}: messages vanish", "set it to delete")
    for setting in ("retention.ms", "retention.bytes"):
        if setup.name == INBOX and topic.settings.get(setting) != "-1":
            says = f"{name}: {setting} is {topic.settings.get(setting)}"
            yield Check("topics", "look", says, "set it to -1: the database is a fold of the inbox")


def _examine_copies(name: str, topic: TopicState, brokers: int) -> Iterator[Check]:
    must_hold = int(topic.settings.get("min.insync.replicas", 1))
    if topic.copies < must_hold:
        says = f"{name}: min.insync.replicas is {must_hold}, and there are {topic.copies} copies"
        yield Check("topics", "wrong", says, f"set it to {topic.copies} or add replicas: nothing can be written")
    elif topic.in_sync < must_hold:
        says = f"{name}: {topic.in_sync} copies are in step, min.insync.replicas is {must_hold}"
        yield Check("topics", "wrong", says, "start the brokers that are missing: nothing can be written")
    elif topic.in_sync < topic.copies:
        says = f"{name}: {topic.in_sync} of {topic.copies} copies are in step"
        yield Check("topics", "look", says, "see to the broker that is behind")
    if topic.copies == 1 < brokers:
        says = f"{name}: one copy, on a cluster of {brokers} brokers"
        yield Check("topics", "look", says, "add replicas: with its broker it is gone")
