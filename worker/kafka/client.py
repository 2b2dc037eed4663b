"""Sends requests of our own to Kafka, where aiokafka's calls hide or change the broker's answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import sample
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError

from worker.kafka.connection import KafkaConnection
from worker.kafka.errors import FAULTS, stop_within


@asynccontextmanager
async def open_client(connection: KafkaConnection) -> AsyncIterator[AIOKafkaClient]:
    """Open a client on the first server that answers; raises ``KafkaDown`` or what aiokafka raises."""
    connection = await connection.find_server()
    client = AIOKafkaClient(**connection.list_options())
    try:
        await client.bootstrap()
        yield client
    finally:
        await stop_within(client.close(), 1.0)


async def ask_any_broker(client: AIOKafkaClient, request: Any) -> Any:
    """Send a request that any broker can answer to one broker after the other, in random order, until one answers.

    Raises:
        KafkaConnectionError: the cluster has no broker. If none of its brokers answers, what the last one raised.
    """
    failure: BaseException = KafkaConnectionError("the cluster names no broker")
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    for node in sample(nodes, len(nodes)):
        try:
            return await client.send(node, request)
        except FAULTS as error:
            failure = error
    raise failure
