"""``budget-bridge acls``: prints the commands that permit a user in Kafka what it needs, and nothing else."""

from typing import Annotated

import typer

from worker.commands.problems import report_problems
from worker.console import Console
from worker.kafka.acls import Client, list_acls, write_commands
from worker.settings import NamesSettings, read_settings


def print_acls(
    client: Annotated[Client, typer.Argument(metavar="CLIENT", help="What the user is for.")],
    user: Annotated[str, typer.Argument(metavar="USER", help="Its name in Kafka, without `User:`.")],
) -> None:
    """Print the kafka-acls commands that permit a user what it needs; asks no server.

    They are for the topics of TOPIC_PREFIX and the group of KAFKA_GROUP_ID. docs/security.md says who is which client.
    """
    with report_problems():
        settings = read_settings(NamesSettings)
        for line in write_commands(list_acls(client, settings.topics, settings.kafka_group_id), user):
            Console().print_line(line)
