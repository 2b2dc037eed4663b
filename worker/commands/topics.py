"""``budget-bridge topics``: creates the topics that are missing."""

import asyncio
from typing import Annotated

import typer

from contracts.topics import list_topics
from worker.commands.problems import report_problems
from worker.console import Console
from worker.kafka.admin import NewTopicSpec, create_topics
from worker.kafka.connection import connect_kafka
from worker.settings import KafkaSettings, read_settings


def create_missing_topics(
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each new topic.")] = 6,
    replication_factor: Annotated[
        int | None,
        typer.Option(min=1, help="Replicas of each new topic.", show_default="3, or the number of brokers if lower"),
    ] = None,
) -> None:
    """Create the topics that are missing; existing topics stay as they are."""
    with report_problems():
        settings = read_settings(KafkaSettings)
        specs = [NewTopicSpec(settings.topics.full(topic.name), partitions, topic.settings) for topic in list_topics()]
        created = asyncio.run(create_topics(connect_kafka(settings), specs, replication_factor))
        for line in [f"created {name}" for name in created] or ["all topics exist"]:
            Console().print_line(line)
