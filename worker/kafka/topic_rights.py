"""Asks the brokers to which topics we may write. No call of aiokafka's asks that, so the request is our own."""

from collections.abc import Iterable
from typing import Final

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from worker.kafka.client import ask_any_broker, open_client
from worker.kafka.connection import REQUEST_SECONDS, KafkaConnection
from worker.kafka.errors import translate_errors

_METADATA: Final = 3
_WITH_RIGHTS: Final = 8
"""The first version of the request that can ask for rights (KIP-430), of Kafka 2.3."""

_WRITE: Final = 1 << 4
"""The bit of ``AclOperation.WRITE``."""

_FLAGS: Final = (False, False, True)
"""Create no topic, ask for no rights on the cluster, ask for those on the topics."""


class _Answer(Response):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = _WITH_RIGHTS
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("topic_authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _Question(RequestStruct):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = _WITH_RIGHTS
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _Ask(Request[_Question]):  # type: ignore[misc]
    API_KEY = _METADATA

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class(self._topics, *_FLAGS)


async def list_writable(connection: KafkaConnection, topics: Iterable[str]) -> frozenset[str]:
    """List the topics to which this user may write; one that is missing or hidden is left out.

    Args:
        connection: how Kafka is reached.
        topics: full names.

    Raises:
        KafkaDown: Kafka does not answer.
    """
    async with translate_errors(REQUEST_SECONDS), open_client(connection) as client:
        answer = await ask_any_broker(client, _Ask(topics))
    described = answer.to_object()["topics"]
    return frozenset(
        topic["topic"]
        for topic in described
        if not topic["error_code"] and topic["topic_authorized_operations"] & _WRITE
    )
