"""One deployment as its settings name it: its Kafka, its database, its consumer group and its topics."""

from dataclasses import dataclass
from typing import Final

from contracts.topics import TopicNames
from outbox.deployment import InboxNames, read_first_start
from outbox.migrate import open_checked_session
from worker.kafka.admin import count_partitions
from worker.kafka.connection import KafkaConnection, connect_kafka
from worker.kafka.group_offsets import GroupOffset, read_group_offsets
from worker.settings import ConfigurationError, ServerSettings

_RENAMED: Final = "if it was renamed on purpose, see `budget-bridge recover --renamed --dry-run`"


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment, as its settings name it."""

    kafka: KafkaConnection
    database_url: str
    group_id: str
    topics: TopicNames

    @property
    def names(self) -> InboxNames:
        """What a database of this deployment belongs to."""
        return InboxNames(self.group_id, self.topics.inbox)


def make_deployment(settings: ServerSettings) -> Deployment:
    """Make the deployment that the settings name; opens no connection."""
    return Deployment(
        connect_kafka(settings), settings.database_url.get_secret_value(), settings.kafka_group_id, settings.topics
    )


def list_other_names(recorded: InboxNames | None, given: InboxNames) -> tuple[str, ...]:
    """List what differs between the names that a database belongs to and those in the settings, with what to do."""
    if recorded is None:
        return ()
    problems = []
    if recorded.group_id != given.group_id:
        problem = (
            f"this database belongs to consumer group {recorded.group_id}, not to {given.group_id}: set KAFKA_GROUP_ID "
            f"to {recorded.group_id}; {_RENAMED}"
        )
        problems.append(problem)
    if recorded.inbox != given.inbox:
        problem = (
            f"this database belongs to the inbox {recorded.inbox}, not to {given.inbox}: correct TOPIC_PREFIX; "
            f"{_RENAMED}"
        )
        problems.append(problem)
    return tuple(problems)


async def check_names(deployment: Deployment) -> None:
    """Check that the database belongs to the group and the inbox of the settings, before anything is sent.

    Raises:
        ConfigurationError: it does not.
        DatabaseDown: Postgres does not answer.
    """
    async with open_checked_session(deployment.database_url) as connection:
        recorded = await read_first_start(connection)
    if problems := list_other_names(recorded.names, deployment.names):
        raise ConfigurationError(problems)


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
