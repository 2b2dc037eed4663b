"""A release in pieces on a real Postgres: in order, after a crash, beside what arrives meanwhile."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from contracts.inbound import InboundMessage
from contracts.inbox import Arrival
from outbox import held_messages
from outbox.audit import open_snapshot
from outbox.batch import DecidedBatch, split_at_releases
from outbox.budget_record import list_budgets, read_budget_record
from outbox.database import Connection, DataRefusedError, connect
from outbox.dead_letters import DeadLetterFilter, find_dead_letter, list_dead_letters, read_dead_letter
from outbox.decide_again import Deviation, ProjectDecidedAgain
from outbox.due import Due, find_due
from outbox.identity import identify
from outbox.position import Position, take_position
from outbox.recovery import open_recovery
from outbox.store import store_batch
from tests.integration.records import TOPICS, arrive
from tests.unit.builders import KEY, RULES, accept, acknowledge, lock, pass_deadline, release
from worker.pipeline.deadlines import write_deadline
from worker.reconcile.decided_again import decide_project_again
from worker.reports.budget_list import BEFORE_ALL

PIECE = 5


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_messages, "RELEASE_MESSAGES", PIECE)
    monkeypatch.setattr("outbox.loading.RELEASE_MESSAGES", PIECE)


class Lane:
    """A lane without Kafka: stores one record after another, and asks for pieces as the timer does."""

    def __init__(self, connection: Connection, position: Position) -> None:
        self.connection, self.position = connection, position
        self.asked: list[Due] = []

    async def store(self, *bodies: InboundMessage | Arrival, fails: bool = False) -> DecidedBatch:
        """Store records as one batch, split at releases; the first one fails where it should."""
        offset = self.position.next_offset
        arrivals = [
            body if isinstance(body, Arrival) else arrive(offset + number, body) for number, body in enumerate(bodies)
        ]
        failing = frozenset({identify(arrivals[0])} if fails else ())
        for part in split_at_releases(arrivals):
            self.position, decided = await store_batch(self.connection, self.position, part, TOPICS, failing)
        return decided

    async def ask(self, *, fails: bool = False) -> bool:
        """Let the timer ask for the next piece, if one is due; each time by another id."""
        due = await find_due(self.connection, [0])
        if not due:
            return False
        [one] = due
        assert (one.deadline, one.key) == ("release", KEY)
        assert one not in self.asked
        self.asked.append(one)
        message_id = dict(write_deadline(one, "").headers)["ce_id"] or b""
        body = pass_deadline("release", one.due_at, one.version)
        await self.store(arrive(self.position.next_offset, body, message_id.decode()), fails=fails)
        return True

    async def list_verdicts(self) -> list[str]:
        rows = await self.connection.fetch("select verdict, type from history order by inbox_offset")
        return [row["verdict"] for row in rows if row["type"] == "budget.locked.v1"]


async def decide_again(database_url: str) -> list[Deviation]:
    async with open_snapshot(database_url) as snapshot:
        return [
            found
            async for found in decide_project_again(snapshot, KEY.project, ProjectDecidedAgain({1: RULES}, TOPICS))
        ]


@pytest.fixture
async def lane(connection: Connection, position: Position) -> Lane:
    """A lane with a budget on hold, of which twelve locks are held."""
    lane = Lane(connection, position)
    await lane.store(lock(1))
    await lane.store(*(lock(number) for number in range(2, 14)), fails=True)
    return lane


async def test_what_is_held_is_decided_piece_by_piece_in_order(lane: Lane, database_url: str) -> None:
    decided = await lane.store(release(), lock(14))
    assert [entry.verdict.value for entry in decided.entries] == ["held"]
    assert await lane.list_verdicts() == ["applied"] * 6 + ["held"] * 8
    record = await read_budget_record(lane.connection, KEY)
    assert record
    assert record.budget
    assert (record.budget.releasing, record.budget.on_hold, record.held_total) == (True, False, 8)
    assert await list_budgets(lane.connection, "ON_HOLD", BEFORE_ALL, 9) == []
    assert await decide_again(database_url) == []
    assert await lane.ask()
    await lane.store(lock(15), accept(15))
    assert await lane.list_verdicts() == ["applied"] * 11 + ["held"] * 4
    assert await lane.ask()
    assert await lane.list_verdicts() == ["applied"] * 15
    # Of the export, as the records of the tests are old: it was not due before the end of the release.
    assert [due.deadline for due in await find_due(lane.connection, [0])] == ["acknowledgement"]
    sent = await lane.connection.fetch("select value from outbox where type = 'approval.requested.v1' order by 1")
    assert len(sent) == 15
    # The acceptance waited behind the locks, and so found its version.
    assert await lane.connection.fetchval("select status from budgets") == "EXPORTING"
    assert await decide_again(database_url) == []


async def test_a_crash_between_two_pieces_and_a_repeated_request_change_nothing(lane: Lane, database_url: str) -> None:
    await lane.store(release())
    await lane.ask()
    # Another worker takes over; the timer of the first had sent its request, that of the second sends it again.
    other = await connect(database_url)
    position = await take_position(other, 0, uuid4())
    assert position
    successor = Lane(other, position)
    [due] = await find_due(other, [0])
    assert due not in lane.asked
    message_id = (dict(write_deadline(due, "").headers)["ce_id"] or b"").decode()
    body = pass_deadline("release", due.due_at, due.version)
    first = arrive(position.next_offset, body, message_id)
    again = arrive(position.next_offset + 1, body, message_id)
    decided = await successor.store(first, again)
    assert len(decided.repeats) == 1
    assert await successor.list_verdicts() == ["applied"] * 13
    assert await find_due(other, [0]) == []
    assert await decide_again(database_url) == []
    await other.close()


async def test_a_piece_that_fails_leaves_the_rest_held_until_another_release(lane: Lane, database_url: str) -> None:
    await lane.store(release())
    assert await lane.ask(fails=True)
    assert await find_due(lane.connection, [0]) == []
    assert await lane.list_verdicts() == ["applied"] * 6 + ["held"] * 7
    [listed] = await list_budgets(lane.connection, "ON_HOLD", BEFORE_ALL, 9)
    assert (listed.on_hold, listed.releasing) == (True, False)
    assert await decide_again(database_url) == []
    await lane.store(release("skip"))
    while await lane.ask():
        pass
    assert await lane.list_verdicts() == ["applied"] * 6 + ["ignored"] + ["applied"] * 6
    assert await decide_again(database_url) == []


async def test_a_piece_has_a_limit_of_bytes_and_at_least_one_message(
    lane: Lane, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    size = await lane.connection.fetchval("select max(octet_length(body)) from history")
    for limit in (1, 2 * size + 1):
        monkeypatch.setattr(held_messages, "RELEASE_BYTES", limit)
        monkeypatch.setattr("outbox.loading.RELEASE_BYTES", limit)
        await (lane.store(release()) if limit == 1 else lane.ask())
    assert await lane.list_verdicts() == ["applied"] * 4 + ["held"] * 9
    monkeypatch.setattr(held_messages, "RELEASE_BYTES", 1)
    monkeypatch.setattr("outbox.loading.RELEASE_BYTES", 1)
    while await lane.ask():
        pass
    assert len(lane.asked) == 10
    assert await lane.list_verdicts() == ["applied"] * 13
    # Decided again with another limit, the same messages are decided at other places: it belongs to the history.
    assert await decide_again(database_url) != []


async def test_what_is_due_of_a_budget_waits_for_the_end_of_its_release(lane: Lane) -> None:
    await lane.store(release())
    await lane.connection.execute(
        "update budgets set parked = 1, parked_due_version = 99, parked_due_at = now() - interval '1 day'"
    )
    assert [due.deadline for due in await find_due(lane.connection, [0])] == ["release"]


async def test_a_release_twice_in_one_batch_is_refused_rather_than_half_loaded(lane: Lane) -> None:
    offset = lane.position.next_offset
    with pytest.raises(ValueError, match="twice"):
        await store_batch(
            lane.connection, lane.position, [arrive(offset + number, release()) for number in range(2)], TOPICS
        )


async def test_a_recovery_decides_a_release_and_its_pieces_again(
    lane: Lane, connection: Connection, database_url: str
) -> None:
    offset = lane.position.next_offset
    due = datetime(2020, 1, 1, tzinfo=UTC)
    pieces: list[InboundMessage] = [pass_deadline("release", due + timedelta(seconds=n)) for n in range(2)]
    arrivals = [arrive(offset + number, body) for number, body in enumerate([release(), *pieces])]
    async with open_recovery(database_url) as recovery:
        position = await recovery.store_again(lane.position, arrivals, TOPICS)
        await recovery.keep()
    assert position.next_offset == offset + 3
    assert await Lane(connection, position).list_verdicts() == ["applied"] * 13


async def test_the_dead_letter_of_a_held_message_is_listed_and_shown_as_itself(lane: Lane, database_url: str) -> None:
    strange = arrive(lane.position.next_offset, acknowledge("success", 9, number=77), "strange")
    await lane.store(strange)
    await lane.store(release())
    while await lane.ask():
        pass
    topic = TOPICS.dead_letters
    [listed] = await list_dead_letters(lane.connection, topic, DeadLetterFilter(budget=KEY), 10)
    assert (listed.message_id, listed.origin, listed.reason) == ("strange", strange.original.place, "unknown_export")
    inbox = await find_dead_letter(lane.connection, topic, listed.id)
    assert inbox
    letter = await read_dead_letter(lane.connection, topic, listed.id, inbox)
    assert letter
    assert (letter.key, letter.value, letter.headers) == (
        strange.original.key,
        strange.original.value,
        strange.original.headers,
    )
    [row] = await lane.connection.fetch("select key, value from outbox where type is null")
    assert (row["key"], row["value"]) == (strange.original.key, strange.original.value)
    assert await decide_again(database_url) == []
    # Offsets of a log that is gone are moved, and the dead letter still names its message.
    async with open_recovery(database_url) as recovery:
        await recovery.forget_log(0)
        await recovery.keep()
    [moved] = await list_dead_letters(lane.connection, topic, DeadLetterFilter(), 10)
    assert (moved.id, moved.message_id) == (listed.id, "strange")


async def test_a_piece_that_postgres_refuses_stores_nothing(lane: Lane) -> None:
    await lane.connection.execute("alter table outbox add constraint refuse check (false) not valid")
    with pytest.raises(DataRefusedError):
        await lane.store(release())
    assert await lane.list_verdicts() == ["applied"] + ["held"] * 12
