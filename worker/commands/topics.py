"""``budget-bridge topics``: creates the topics that are missing."""

import asyncio
from typing import Annotated

import typer

from contracts.topics import list_topics
from worker.commands.shared import tell_problems
from worker.kafka.admin import NewTopicSpec, create_topics
from worker.kafka.connection import connect_kafka
from worker.settings import (
    KafkaSettings,
    read_settings,
)


def make_topics(
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each topic that is made.")] = 6,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="Copies of each.", show_default="3, or as many as there are brokers")
    ] = None,
) -> None:
    """Create the topics that are missing; existing ones stay as they are."""
    with tell_problems():
        settings = read_settings(KafkaSettings)
        specs = [NewTopicSpec(settings.topics.full(topic.name), partitions, topic.settings) for topic in list_topics()]
        created = asyncio.run(create_topics(connect_kafka(settings), specs, replication_factor))
        typer.echo("\n".join(f"created {name}" for name in created) or "all topics are there")
