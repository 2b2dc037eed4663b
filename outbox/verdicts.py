"""Finds what became of messages by the ids that their sender gave them.

A message that nobody has proven uses up no id, and somebody else can have a refusal sent under any id. So its sender
finds it at its place, where nobody else can have put anything.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from contracts.budget_key import BudgetKey
from contracts.records import Place
from contracts.topics import TopicNames
from outbox.columns import transpose
from outbox.database import Connection, translate_errors
from outbox.people import PeopleMessage
from outbox.queries import QUERIES
from outbox.story import Sent, read_row


class Sender(NamedTuple):
    """Where a sender has put a message: for which budget, and at which place."""

    key: BudgetKey
    place: Place


class Answer(NamedTuple):
    """What became of a message."""

    verdict: str
    detail: str


async def find_message(
    connection: Connection,
    project: tuple[int, int],
    source: str,
    message_id: str,
    sender: Sender | None,
    topics: TopicNames,
) -> PeopleMessage | None:
    """Find a message, with what was sent because of it; ``None`` as long as it is not decided.

    Args:
        connection: a transaction that reads as of one moment.
        project: company and project.
        source: of the message.
        message_id: its id.
        sender: where it was put; ``None`` where nobody knows that any more.
        topics: how the topics of this deployment are named.
    """
    at = (sender.key.budget_id, *sender.place) if sender else (None,) * 4
    async with translate_errors(connection):
        row = await connection.fetchrow(QUERIES["find_message"], *project, source, message_id, *at)
        if row is None:
            return None
        key = BudgetKey(row["company_id"], row["project_id"], row["budget_id"])
        caused = await connection.fetch(QUERIES["show_caused"], *key, [row["inbox_partition"]], [row["inbox_offset"]])
    return PeopleMessage(key, read_row(row, topics, [Sent(*one[2:]) for one in caused]))


async def find_verdicts(
    connection: Connection, source: str, wanted: Iterable[tuple[int, int, str]]
) -> Mapping[tuple[int, int, str], Answer]:
    """Find what became of messages of one source; those that are not decided are left out.

    Args:
        connection: a session on a database with our schema.
        source: of all of them.
        wanted: company, project and id of each.
    """
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["find_verdicts"], source, *transpose(set(wanted), 3))
    return {(row[0], row[1], row[2]): Answer(row[3], row[4]) for row in rows}
