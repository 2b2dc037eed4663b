"""What people did, chosen by person, act and time: read latest first, and judged message by message."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from contracts.budget_key import BudgetKey
from contracts.fields import read_date, read_time, write_time
from desk.history import Entry, tell
from desk.page import MAX_INT32, Page, read_number, write_link
from handlers.rules import fold_user
from outbox.approvals import Projects
from outbox.people import Place, list_people_messages

_READ_AT_ONCE: Final = 200
_MOST_READ: Final = 2000
"""Messages that are read for one page: the person stands in the message, and no index has it."""

DECISIONS: Final = ("approval.decision.v1", "drift.decision.v1", "import.requested.v1")
"""What approvers send."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages are wanted."""

    user: str = ""
    type: str = ""
    since: str = ""
    until: str = ""
    after: Place | None = None

    def link(self, path: str, after: Place | None = None) -> str:
        """Write the address of this choice, from a place on."""
        place = None if after is None else f"{write_time(after[0])},{after[1]},{after[2]}"
        return write_link(path, user=self.user, type=self.type, since=self.since, until=self.until, after=place)


class Act(NamedTuple):
    """What one person did."""

    key: BudgetKey
    entry: Entry


class Acts(NamedTuple):
    """A page of what people did."""

    acts: tuple[Act, ...]
    next_place: Place | None
    """Where the next page begins; ``None`` at the end of the list."""


def read_wanted(query: QueryParams) -> Wanted:
    """Read which messages are wanted.

    Raises:
        HTTPException: 400, a date or a place is none.
    """
    for name in ("since", "until"):
        if text := query.get(name):
            try:
                read_date(text)
            except ValueError as error:
                raise HTTPException(400, f"{name}: {error}") from None
    given = {name: query.get(name, "").strip() for name in ("user", "type", "since", "until")}
    return Wanted(**given, after=_read_place(query.get("after", "")))


def _read_place(text: str) -> Place | None:
    if not text:
        return None
    try:
        at, partition, offset = text.split(",")
        return read_time(at), read_number(partition, MAX_INT32), read_number(offset)
    except ValueError:
        raise HTTPException(400, "The list cannot begin there; begin at its start.") from None


async def list_acts(page: Page, projects: Projects, wanted: Wanted, types: Collection[str], at_most: int) -> Acts:
    """List what people did.

    Args:
        page: in whose transaction it is read.
        projects: of which the person sees anything.
        wanted: which messages.
        types: only these types; none means all.
        at_most: how many.
    """
    found: list[Act] = []
    place, read = wanted.after, 0
    while read < _MOST_READ:
        messages = await list_people_messages(page.connection, projects, place, page.settings.topics, _READ_AT_ONCE)
        for message in messages:
            place, entry = message.place, tell(message.received)
            if _is_wanted(entry, wanted, types, page):
                found.append(Act(message.key, entry))
            if len(found) == at_most:
                return Acts(tuple(found), place)
        read += len(messages)
        if len(messages) < _READ_AT_ONCE or (wanted.since and place and _find_day(place[0], page) < wanted.since):
            return Acts(tuple(found), None)
    return Acts(tuple(found), place)


def _is_wanted(entry: Entry, wanted: Wanted, types: Collection[str], page: Page) -> bool:
    received, day = entry.received, _find_day(entry.received.at, page)
    return (
        (not types or received.type in types)
        and (not wanted.type or received.type == wanted.type)
        and (not wanted.user or fold_user(entry.who) == fold_user(wanted.user))
        and (not wanted.since or day >= wanted.since)
        and (not wanted.until or day <= wanted.until)
    )


def _find_day(at: datetime, page: Page) -> str:
    """Find the day of a time in the zone that the person has chosen."""
    return at.astimezone(page.zone).date().isoformat()
