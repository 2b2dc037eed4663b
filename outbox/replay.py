"""Which dead letters may be sent back to their topics. Pure."""

from collections.abc import Sequence
from typing import Final

from contracts.stubs import read_stub
from outbox.dead_letters import StoredDeadLetter

REPLAYABLE: Final = frozenset({"unreadable", "unknown_type"})
"""The reasons for which a dead letter has not used up its message id, so that it can still be accepted."""


def find_obstacle(letter: StoredDeadLetter, sources: Sequence[str]) -> str | None:
    """Find out why a dead letter must not be sent back.

    Args:
        letter: the dead letter.
        sources: the full names of the source topics. A record that somebody wrote into the inbox may name any other
            topic as its origin, and must not cause anything to be written there.

    Returns:
        The reason, in words; ``None`` if it may be sent.
    """
    one = letter.listed
    if one.reason not in REPLAYABLE:
        return (
            f"message {one.message_id} was read and decided ({one.reason}): the same message again would be a "
            f"repeat; have it sent again under a new id"
        )
    if one.origin.topic not in sources:
        return f"{one.origin.topic} is not a source topic"
    if read_stub(letter.headers) is not None:
        return "the record could not be carried whole; have it sent again"
    return None
