"""One deployment as its settings name it: its Kafka, its database, its consumer group and its topics."""

from dataclasses import dataclass
from typing import Final

from contracts.topics import INBOX
from worker.kafka.admin import count_partitions
from worker.kafka.connection import Connection
from worker.kafka.group_offsets import GroupOffset, read_group_offsets
from worker.settings import KafkaSettings

_WITHIN_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True)
class Scene:
    """One deployment, as its settings name it."""

    kafka: Connection
    database_url: str
    group_id: str
    topic_prefix: str


async def read_lane_offsets(scene: Scene) -> dict[int, GroupOffset]:
    """Read what the group has committed for each lane; lanes without an offset are left out. Raises ``KafkaDown``."""
    inbox = scene.topic_prefix + INBOX
    partitions = (await count_partitions(scene.kafka, [inbox])).get(inbox, 0)
    lanes = [(inbox, number) for number in range(partitions)]
    offsets = await read_group_offsets(scene.kafka, scene.group_id, lanes, _WITHIN_SECONDS)
    return {number: offset for (_, number), offset in offsets.items()}


def connect_kafka(settings: KafkaSettings) -> Connection:
    """Name how Kafka is reached, as the settings say."""
    password = settings.kafka_sasl_password
    files = (settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)
    cafile, certfile, keyfile = (str(file) if file else None for file in files)
    return Connection(
        bootstrap_servers=settings.kafka_bootstrap,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=password.get_secret_value() if password else None,
        ssl_cafile=cafile,
        ssl_certfile=certfile,
        ssl_keyfile=keyfile,
    )
