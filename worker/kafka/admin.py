"""Creates topics, and describes topics, groups and brokers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import TopicAuthorizationFailedError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from worker.kafka.client import ask_any_broker, open_client
from worker.kafka.connection import REQUEST_SECONDS, KafkaConnection
from worker.kafka.errors import Access, KafkaDown, stop_within, translate_errors

_TOPIC_EXISTS: Final = 36

_REQUESTS: Final = {
    8: "OffsetCommit",
    9: "OffsetFetch",
    11: "JoinGroup",
    22: "InitProducerId",
    24: "AddPartitionsToTxn",
    25: "AddOffsetsToTxn",
    26: "EndTxn",
    28: "TxnOffsetCommit",
}
"""The requests that groups and transactions need, by their numbers in Kafka's protocol."""


@dataclass(frozen=True, slots=True)
class NewTopicSpec:
    """A topic to create."""

    name: str
    partitions: int
    settings: Mapping[str, str]


@asynccontextmanager
async def _open_admin(connection: KafkaConnection, access: Access) -> AsyncIterator[AIOKafkaAdminClient]:
    async with translate_errors(REQUEST_SECONDS, access=access):
        connection = await connection.find_server()
        admin = AIOKafkaAdminClient(**connection.list_options())
        try:
            await admin.start()
            yield admin
        finally:
            await stop_within(admin.close(), 1.0)


async def create_topics(connection: KafkaConnection, topics: Sequence[NewTopicSpec], copies: int | None) -> list[str]:
    """Create the topics that are missing; existing ones stay as they are.

    Args:
        connection: how Kafka is reached.
        topics: the topics, by full name.
        copies: replicas of each; ``None`` for three, or one on each broker if there are fewer.

    Returns:
        The names of the topics that were created.

    Raises:
        KafkaDown: Kafka does not answer, or refuses one of them.
    """
    async with _open_admin(connection, connection.access("Create")) as admin:
        cluster = await admin.describe_cluster()
        factor = copies or min(3, len(cluster["brokers"]))
        response = await admin.create_topics(
            [NewTopic(topic.name, topic.partitions, factor, topic_configs=dict(topic.settings)) for topic in topics]
        )
        refused = [name for name, code, *_ in response.topic_errors if code == TopicAuthorizationFailedError.errno]
        if refused:
            raise TopicAuthorizationFailedError(refused)
    created = []
    for name, code, *message in response.topic_errors:
        if code not in {0, _TOPIC_EXISTS}:
            said = message[0] if message and message[0] else for_code(code).__name__
            failure = f"topic {name} could not be created: {said}"
            raise KafkaDown(failure)
        if code == 0:
            created.append(name)
    return created


async def count_partitions(connection: KafkaConnection, topics: Sequence[str]) -> dict[str, int]:
    """Count the partitions of the topics that exist.

    Args:
        connection: how Kafka is reached.
        topics: full names.

    Returns:
        The number of partitions by topic; topics that do not exist are left out.

    Raises:
        KafkaDown: Kafka does not answer, or does not permit one of them to be described.
    """
    access = connection.access("Describe", *topics)
    async with translate_errors(REQUEST_SECONDS, access=access), open_client(connection) as client:
        described = await ask_for_topics(client, topics)
        for topic in described:
            if topic["error_code"] == TopicAuthorizationFailedError.errno:
                raise TopicAuthorizationFailedError(topic["topic"])
    return {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}


async def ask_for_topics(client: AIOKafkaClient, topics: Sequence[str]) -> list[dict[str, Any]]:
    """Describe topics by a client that is open, without creating missing ones."""
    # aiokafka's own call lets a broker create each missing topic that it is asked about, with the broker's defaults.
    request = MetadataRequest(list(topics), allow_auto_topic_creation=False)
    answer = await ask_any_broker(client, request)
    found: list[dict[str, Any]] = answer.to_object()["topics"]
    return found


async def count_brokers(connection: KafkaConnection) -> int:
    """Count the brokers that are up."""
    return len(await list_brokers(connection))


async def list_brokers(connection: KafkaConnection) -> list[str]:
    """List the brokers that are up, each with the address that clients are given."""
    async with translate_errors(REQUEST_SECONDS), open_client(connection) as client:
        answer = await ask_any_broker(client, MetadataRequest([], allow_auto_topic_creation=False))
        return [f"{broker['host']}:{broker['port']}" for broker in answer.to_object()["brokers"]]


@dataclass(frozen=True, slots=True)
class TopicState:
    """How a topic is set up on the broker."""

    partitions: int
    copies: int
    """The number of replicas of the partition that has the fewest."""
    in_sync: int
    """The number of replicas in sync of the partition that has the fewest."""
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class GroupState:
    """The state of a group, and its number of members."""

    state: str
    members: int


async def describe_topics(connection: KafkaConnection, names: Sequence[str]) -> dict[str, TopicState | None]:
    """Describe topics, with their settings where we may read them.

    Args:
        connection: how Kafka is reached.
        names: full names.

    Returns:
        The topics by name: ``None`` for one that may not be described; one that does not exist is left out.

    Raises:
        KafkaDown: Kafka does not answer.
    """
    async with _open_admin(connection, connection.access("Describe", *names)) as admin:
        found = await ask_for_topics(admin._client, names)  # noqa: SLF001 - see there
        described = [topic for topic in found if not topic["error_code"]]
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic["topic"]) for topic in described]
        answers = await admin.describe_configs(resources) if resources else []
    settings: dict[str, dict[str, str]] = {}
    for answer in answers:
        for code, _, _, name, entries in answer.resources:
            if not code:
                settings[name] = {entry[0]: entry[1] or "" for entry in entries}
    hidden = [topic["topic"] for topic in found if topic["error_code"] == TopicAuthorizationFailedError.errno]
    return dict.fromkeys(hidden) | {
        topic["topic"]: TopicState(
            len(topic["partitions"]),
            min((len(partition["replicas"]) for partition in topic["partitions"]), default=0),
            min((len(partition["isr"]) for partition in topic["partitions"]), default=0),
            settings.get(topic["topic"], {}),
        )
        for topic in described
    }


async def describe_group(connection: KafkaConnection, group_id: str) -> GroupState:
    """Describe a group; one that nobody ever joined has the state ``Dead``. Raises ``KafkaDown``."""
    async with _open_admin(connection, connection.access("Describe", group_id)) as admin:
        [described] = await admin.describe_consumer_groups([group_id])
        [(code, _, state, _, _, members, *_)] = described.groups
        if code:
            raise for_code(code)
    return GroupState(state, len(members))


async def list_missing_requests(connection: KafkaConnection, server: str) -> list[str]:
    """Ask one server which requests it supports, and list those that we need and it lacks; raises ``KafkaDown``."""
    taken = await connection.ask_server(server)
    return [name for key, name in _REQUESTS.items() if key not in taken]
