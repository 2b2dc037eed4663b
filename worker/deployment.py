"""One deployment as its settings name it: its Kafka, its database, its consumer group and its topics."""

from dataclasses import dataclass

from contracts.topics import TopicNames
from worker.kafka.admin import count_partitions
from worker.kafka.connection import KafkaConnection, connect_kafka
from worker.kafka.group_offsets import GroupOffset, read_group_offsets
from worker.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment, as its settings name it."""

    kafka: KafkaConnection
    database_url: str
    group_id: str
    topics: TopicNames


def make_deployment(settings: ServerSettings) -> Deployment:
    """Make the deployment that the settings name; opens no connection."""
    return Deployment(
        connect_kafka(settings), settings.database_url.get_secret_value(), settings.kafka_group_id, settings.topics
    )


async def read_lane_offsets(deployment: Deployment) -> dict[int, GroupOffset]:
    """Read the offset that the group has committed for each lane; lanes without one are left out.

    Raises:
        KafkaDown: Kafka does not answer.
    """
    inbox = deployment.topics.inbox
    partitions = (await count_partitions(deployment.kafka, [inbox])).get(inbox, 0)
    lanes = [(inbox, number) for number in range(partitions)]
    offsets = await read_group_offsets(deployment.kafka, deployment.group_id, lanes)
    return {number: offset for (_, number), offset in offsets.items()}
