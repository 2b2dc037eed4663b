"""Check of the lanes: whether the group's offsets, the positions in the database and the inbox match."""

from outbox.database import Connection
from outbox.deployment import InboxNames, read_first_start
from worker.deployment import list_other_names
from worker.doctor.check import Check, Checks
from worker.kafka.admin import TopicState
from worker.kafka.connection import KafkaConnection
from worker.reports.lane_report import read_lanes
from worker.settings import KafkaSettings


async def check_lanes(
    kafka: KafkaConnection, settings: KafkaSettings, database: Connection, topic: TopicState
) -> Checks:
    """Check every lane; raises ``KafkaDown`` or ``DatabaseDown``.

    Args:
        kafka: how to reach Kafka.
        settings: the group and the name of the inbox.
        database: a session on a database with our schema.
        topic: the inbox as it is.

    Yields:
        The results.
    """
    inbox = settings.topics.inbox
    recorded = await read_first_start(database)
    if others := list_other_names(recorded.names, InboxNames(settings.kafka_group_id, inbox)):
        # What else could be found would be about another group or inbox.
        for problem in others:
            found, _, to_do = problem.partition(": ")
            yield Check("lanes", "error", found, to_do)
        return
    if recorded.partitions not in {None, topic.partitions}:
        found = f"{inbox} has {topic.partitions} partitions, but was created with {recorded.partitions}"
        to_do = f"create the inbox again with {recorded.partitions} partitions: see scaling out in the runbook"
        yield Check("lanes", "error", found, to_do)
    lanes = await read_lanes(kafka, settings.kafka_group_id, inbox, database)
    for lane in lanes:
        if lane.refuses:
            to_do = "run `budget-bridge recover --dry-run`: it shows the repair"
            yield Check("lanes", "error", f"lane {lane.lane} refuses: {lane.refuses}", to_do)
    if not any(lane.refuses for lane in lanes):
        behind = sum(lane.undecided + (lane.unpublished or 0) for lane in lanes)
        found = f"offsets, positions and the inbox match; about {behind} records are not published yet"
        yield Check("lanes", "ok", f"{len(lanes)} lanes: {found}")
