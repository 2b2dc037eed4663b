"""What became of what somebody has sent, from history and state alone."""

import asyncio
from collections.abc import Iterator
from typing import Final

from contracts.topics import TopicNames
from desk.acts import DESK_SOURCE
from desk.sent_acts import SentAct
from outbox.database import DatabaseDown
from outbox.people import PeopleMessage
from outbox.reader import Reader
from outbox.verdicts import find_message

WAIT_SECONDS: Final = 1.5
"""How long the click itself waits for the verdict; after that the receipt asks again by itself."""

_FIRST_SECONDS: Final = 0.025
_LONGEST_SECONDS: Final = 0.2


async def wait_for_verdict(reader: Reader, sent: SentAct, topics: TopicNames) -> PeopleMessage | None:
    """Wait a moment until history has a message; ``None`` where it does not have it yet."""
    for seconds in _list_waits():
        await asyncio.sleep(seconds)
        try:
            async with reader.read() as connection:
                project, message_id = sent.key.project, str(sent.id)
                found = await find_message(connection, project, DESK_SOURCE, message_id, sent.sender, topics)
        except DatabaseDown:
            return None
        if found:
            return found
    return None


def _list_waits() -> Iterator[float]:
    wait, total = _FIRST_SECONDS, 0.0
    while total < WAIT_SECONDS:
        yield wait
        total += wait
        wait = min(wait * 2, _LONGEST_SECONDS)
