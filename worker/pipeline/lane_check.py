"""The check at the start of a lane: do the group's offset, the position and the inbox agree?

Pure. If they do not (a restored backup, an expired or foreign group, a recreated or truncated topic, two databases on
one group), one sentence says what was found and names the command that resolves it; the lane then publishes nothing.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from contracts.records import Record
from outbox.position import Position, describe_record

NEW: Final = "new"
ANOTHER_LOG: Final = "another log"
_ADVICE: Final = "nothing is published from this lane; `budget-bridge recover --dry-run` shows what can be done"


class Mismatch(StrEnum):
    """How the offset, the position and the inbox of a lane disagree; each case has its own repair."""

    NO_OFFSET = "no offset"
    FOREIGN = "foreign group"
    OLDER_BACKUP = "older backup"
    INBOX_CHANGED = "inbox changed"


class LaneRefused(Exception):  # noqa: N818 - what was found, reported to a person
    """The lane must not publish; the message describes what was found and names the command that resolves it."""

    def __init__(self, mismatch: Mismatch, found: str) -> None:
        super().__init__(f"{found}: {_ADVICE}")
        self.mismatch = mismatch
        self.found = found


@dataclass(frozen=True, slots=True)
class LaneState:
    """What is found at the start of a lane."""

    deployment_id: UUID
    offset: int | None
    """The group's offset for the inbox partition; ``None`` if it has none."""
    metadata: str
    log_start: int
    log_end: int
    position: Position | None


def sign_offset(deployment_id: UUID, mark: str = "") -> str:
    """Write the metadata that is committed with an offset.

    Args:
        deployment_id: the database whose lane commits it.
        mark: what was just done with the lane. ``NEW``: it is new, and its position is not yet written.
            ``ANOTHER_LOG``: everything stored is published and the lane starts again at the beginning of another log,
            but its position is not yet moved there.
    """
    return f"{deployment_id} {mark}".rstrip()


def check_lane(found: LaneState) -> None:
    """Check everything that can be checked without reading a record.

    Raises:
        LaneRefused: the lane must not publish.
    """
    position, offset = found.position, found.offset
    if offset is None:
        if position is not None:
            message = (
                f"the group has no offset, but the database is at {position.next_offset} (the offset expired or was "
                f"deleted, or this is another group id)"
            )
            raise LaneRefused(Mismatch.NO_OFFSET, message)
        return
    if not found.metadata.startswith(str(found.deployment_id)):
        message = f"the group's offset was committed by another database ({found.metadata or 'unnamed'})"
        raise LaneRefused(Mismatch.FOREIGN, message)
    if position is None:
        if found.metadata != sign_offset(found.deployment_id, NEW):
            message = f"the group is at {offset}, but the database knows nothing of this lane (an older backup)"
            raise LaneRefused(Mismatch.OLDER_BACKUP, message)
        return
    if offset > position.next_offset:
        message = f"the group is at {offset}, but the database only at {position.next_offset} (an older backup)"
        raise LaneRefused(Mismatch.OLDER_BACKUP, message)
    if not found.log_start <= position.next_offset <= found.log_end:
        message = (
            f"the database is at {position.next_offset}, but the inbox holds {found.log_start} to {found.log_end} "
            f"(it was recreated or truncated)"
        )
        raise LaneRefused(Mismatch.INBOX_CHANGED, message)


def check_last_record(position: Position, found: Record | None) -> None:
    """Check that the record before the position is the one that the position remembers.

    Args:
        position: where the lane is.
        found: the record that the log has before it; ``None`` if it has none.

    Raises:
        LaneRefused: it is another record.
    """
    if position.last is None or (found is not None and describe_record(found) == position.last):
        return
    message = f"record {position.last.offset} of the inbox is not the one that was read there (it was recreated)"
    raise LaneRefused(Mismatch.INBOX_CHANGED, message)
