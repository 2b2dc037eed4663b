"""The messages that are held of a budget, and how many of them one release decides at once. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from contracts.cloudevents.message import Message, Unreadable
from contracts.records import Record
from handlers.decision import MessageId, Resolved

# Both decide what happens at which record of the inbox. With other numbers a history, decided again, has its effects at
# other places, and `reconcile` reports them.
RELEASE_MESSAGES: Final = 100
"""At most so many held messages are decided at once: fewer than a batch has."""

RELEASE_BYTES: Final = 4 * 1024 * 1024
"""At most so many bytes of them, unless the first has more: a few hundred thousand lines, far below the 6 s of a
transaction."""


class HeldMessage(NamedTuple):
    """A held message as it came in."""

    message: Message | Unreadable
    """Unreadable only for another version of this program than the one that held it."""
    record: Record
    inbox: tuple[int, int]
    """Its partition and offset in the inbox."""


def cut_piece(held: Sequence[HeldMessage]) -> tuple[HeldMessage, ...]:
    """Cut off the messages that are decided at once from all that are held, in their order."""
    total = 0
    for number, one in enumerate(held[:RELEASE_MESSAGES]):
        total += len(one.record.value or b"")
        if number and total > RELEASE_BYTES:
            return tuple(held[:number])
    return tuple(held[:RELEASE_MESSAGES])


def drop_resolved(held: Iterable[HeldMessage], resolved: Iterable[Resolved]) -> list[HeldMessage]:
    """Keep the held messages that a decision did not give a verdict."""
    done = {MessageId(one.type, one.source, one.id) for one in resolved}
    return [one for one in held if name_held(one) not in done]


def name_held(held: HeldMessage) -> MessageId | None:
    """Name a held message; ``None`` where it cannot be read."""
    message = held.message
    return MessageId(message.body.type, message.source, message.id) if isinstance(message, Message) else None
