"""Check of one consumer group: whether it has members and is stable."""

from worker.doctor.check import Check, Checks
from worker.kafka.admin import describe_group
from worker.kafka.connection import KafkaConnection


async def check_group(kafka: KafkaConnection, group: str) -> Checks:
    """Check a consumer group; raises ``KafkaDown``."""
    state = await describe_group(kafka, group)
    if state.members == 0:
        yield Check("group", "warning", f"{group} has no members", "start a worker: `budget-bridge run`")
    elif state.state != "Stable":
        to_do = "run the doctor again in half a minute: the group is moving partitions"
        yield Check("group", "warning", f"{group} is {state.state}", to_do)
    else:
        yield Check("group", "ok", f"{group} is stable and has {state.members} member{'s' * (state.members > 1)}")
