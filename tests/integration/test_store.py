"""The batch transaction, on a real Postgres: one writer, one verdict for each message, all or nothing."""

import asyncio
import sys
from dataclasses import replace
from importlib.resources import files
from uuid import uuid4

import asyncpg
import pytest
from pydantic import TypeAdapter

from contracts.cloudevents.message import Unreadable
from contracts.inbound import BudgetLocked, InboundMessage
from contracts.inbox import Arrival
from contracts.records import Place
from handlers.rules import Rules
from outbox.audit import Snapshot, open_snapshot
from outbox.backlog import read_outbox
from outbox.batch import DecisionFailedError
from outbox.budget_record import read_budget_record
from outbox.budget_state import read_state
from outbox.database import Connection, DatabaseDown, connect, transaction
from outbox.due import find_due
from outbox.identity import identify
from outbox.lost_jobs import find_lost_jobs
from outbox.migrate import SchemaMismatch, check_schema, list_migrations, migrate
from outbox.position import Position, PositionLost, take_position
from outbox.refold import Deviation, ProjectFold
from outbox.rules import put_in_force
from outbox.store import store_batch
from tests.integration.records import TOPICS, arrive
from tests.unit.builders import KEY, RULES, STEEL, accept, acknowledge, hash_of, lock, reject, release, reset, retrieve
from worker.reconcile.decided_again import fold_project


async def refold(snapshot: Snapshot) -> list[Deviation]:
    """Decide the history of a project again, as ``reconcile`` does."""
    return [found async for found in fold_project(snapshot, KEY.project, ProjectFold({1: RULES}, TOPICS))]


async def count(connection: Connection, table: str) -> int:
    found: int = await connection.fetchval(f"select count(*) from {table}")
    return found


async def verdicts(connection: Connection) -> list[str]:
    return [row[0] for row in await connection.fetch("select verdict from history order by inbox_offset")]


async def test_what_decide_sends_is_what_the_outbox_holds(connection: Connection, position: Position) -> None:
    batch = [arrive(0, lock()), arrive(1, accept())]
    after, decided = await store_batch(connection, position, batch, TOPICS)
    assert after.next_offset == 2
    stored = await read_outbox(connection, 0, 0, 2, 100)
    assert [row.record for row in stored] == [row.record for row in decided.rows]
    assert [row.record.topic for row in stored] == [
        "x.bridge.approval-requests",
        "x.bridge.status",
        "x.spectrum.exports",
        "x.bridge.status",
    ]
    assert [row.inbox_offset for row in await read_outbox(connection, 0, 1, 2, 100)] == [1, 1]
    assert await take_position(connection, 0, position.owner) == after
    story = await read_budget_record(connection, KEY)
    assert story
    assert story.status
    assert (story.status.status, len(story.history), len(story.sent)) == ("EXPORTING", 2, 4)


async def test_the_state_survives_the_database(connection: Connection, position: Position) -> None:
    told: list[InboundMessage] = [
        lock(),
        retrieve(2),
        accept(),
        lock(2, STEEL | {"original_amount": "1"}),
        acknowledge("success"),
    ]
    for offset, body in enumerate(told):
        position, decided = await store_batch(connection, position, [arrive(offset, body)], TOPICS)
    assert await verdicts(connection) == ["applied"] * 5
    assert [row.type for row in decided.rows][-2:] == ["budget.returned.v1", "budget.status.v1"]


async def test_the_same_id_counts_once_in_a_batch_and_in_two(connection: Connection, position: Position) -> None:
    batch = [arrive(0, lock(), "one"), arrive(1, lock(), "one"), arrive(2, accept(), "two")]
    position, decided = await store_batch(connection, position, batch, TOPICS)
    assert [repeat.inbox.place.offset for repeat in decided.repeats] == [1]
    position, decided = await store_batch(
        connection, position, [arrive(3, accept(), "two", partition=9), arrive(4, lock(), "one")], TOPICS
    )
    assert (decided.rows, len(decided.repeats)) == ([], 2)
    assert await count(connection, "history") == 2
    assert position.next_offset == 5


async def test_two_workers_on_one_position(connection: Connection, database_url: str, position: Position) -> None:
    other = await connect(database_url)
    batch = [arrive(0, lock()), arrive(1, accept())]
    results = await asyncio.gather(
        store_batch(connection, position, batch, TOPICS),
        store_batch(other, position, batch, TOPICS),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["PositionLost", "tuple"]
    assert await count(connection, "outbox") == 4
    await other.close()


async def test_a_zombie_that_wakes_stores_nothing(
    connection: Connection, database_url: str, position: Position
) -> None:
    successor = await connect(database_url)
    taken = await take_position(successor, 0, uuid4())
    assert taken
    with pytest.raises(PositionLost):
        await store_batch(connection, position, [arrive(0, lock())], TOPICS)
    assert await count(connection, "history") == 0
    await store_batch(successor, taken, [arrive(0, lock())], TOPICS)
    await successor.close()


async def test_taking_a_position_waits_for_the_transaction_of_its_owner(
    connection: Connection, database_url: str, position: Position
) -> None:
    successor = await connect(database_url)
    async with transaction(connection):
        await connection.execute("update positions set next_offset = 7")
        taking = asyncio.create_task(take_position(successor, 0, uuid4()))
        done, _ = await asyncio.wait({taking}, timeout=0.3)
        assert not done
    taken = await taking
    assert taken
    assert taken.next_offset == 7
    assert position.next_offset == 0
    await successor.close()


async def test_a_session_that_dies_stores_nothing(
    connection: Connection, database_url: str, position: Position
) -> None:
    victim = await connect(database_url)
    pid = await victim.fetchval("select pg_backend_pid()")
    async with transaction(connection):
        # The victim waits here with its transaction open, and is killed.
        await connection.execute("select 1 from positions for update")
        storing = asyncio.create_task(store_batch(victim, position, [arrive(0, lock())], TOPICS))
        await asyncio.wait({storing}, timeout=0.3)
        await connection.execute("select pg_terminate_backend($1)", pid)
        with pytest.raises(DatabaseDown):
            await storing
    assert await count(connection, "history") == 0


async def test_a_failed_commit_is_not_a_success(connection: Connection) -> None:
    await connection.execute("create table t (a int unique deferrable initially deferred)")
    with pytest.raises(asyncpg.UniqueViolationError):
        async with transaction(connection):
            await connection.execute("insert into t values (1), (1)")
    with pytest.raises(DatabaseDown, match="ROLLBACK"):
        async with transaction(connection):
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.execute("select 1 / 0")
    assert await count(connection, "t") == 0


async def test_a_budget_changed_by_somebody_else_is_noticed(connection: Connection, position: Position) -> None:
    position, _ = await store_batch(connection, position, [arrive(0, lock())], TOPICS)
    await connection.execute(
        "create function other() returns trigger language plpgsql as "
        "$$ begin update budgets set revision = revision + 1; return new; end $$;"
        "create trigger other after insert on history execute function other()"
    )
    with pytest.raises(PositionLost):
        await store_batch(connection, position, [arrive(1, accept())], TOPICS)
    assert await verdicts(connection) == ["applied"]


async def test_what_cannot_be_read_is_kept_and_set_aside_untouched(connection: Connection, position: Position) -> None:
    junk = b"\x00\xff junk"
    batch = [arrive(0, junk), arrive(1, junk, came_from=0), arrive(2, None), arrive(3, lock())]
    _, decided = await store_batch(connection, position, batch, TOPICS)
    assert len(decided.repeats) == 1
    [letter, null, *_] = [row.record for row in await read_outbox(connection, 0, 0, 9, 100)]
    assert (letter.topic, letter.key, letter.value) == ("x.bridge.dead-letters", b"key", junk)
    headers = dict(letter.headers)
    assert headers["dead_letter_reason"] == b"unreadable"
    assert (headers["dead_letter_topic"], headers["dead_letter_offset"]) == (b"x.procore.budgets", b"0")
    assert null.value is None
    assert await verdicts(connection) == ["dead_lettered", "dead_lettered", "applied"]
    assert await connection.fetchval("select body from history where inbox_offset = 0") == junk


async def test_words_of_people_may_hold_anything(connection: Connection, position: Position) -> None:
    late = reject(2, reason="x\x00y")
    batch = [arrive(0, lock(1, STEEL | {"description": "\x00"})), arrive(1, reject(3, reason="\x00")), arrive(2, late)]
    await store_batch(connection, position, [*batch, arrive(3, lock(2))], TOPICS)
    assert await verdicts(connection) == ["applied", "parked", "applied", "applied"]


async def test_a_job_passes_from_one_budget_to_another_in_one_batch(connection: Connection, position: Position) -> None:
    second = KEY._replace(budget_id=2)
    batch = [
        arrive(0, lock()),
        arrive(1, lock(1, key=second)),
        arrive(2, retrieve()),
        arrive(3, lock(2, key=second)),
        arrive(4, lock(2)),
    ]
    _, decided = await store_batch(connection, position, batch, TOPICS)
    assert [row.type for row in decided.rows if row.type != "budget.status.v1"] == [
        "approval.requested.v1",
        "budget.returned.v1",
        "budget.returned.v1",
        "approval.requested.v1",
        "budget.returned.v1",
    ]


async def test_verdicts_give_way(connection: Connection, position: Position) -> None:
    early = [arrive(0, accept(content_hash=hash_of(STEEL))), arrive(1, retrieve())]
    position, _ = await store_batch(connection, position, early, TOPICS)
    assert await verdicts(connection) == ["parked", "parked"]
    await store_batch(connection, position, [arrive(2, lock())], TOPICS)
    assert await verdicts(connection) == ["applied", "refused", "applied"]


async def test_what_is_due_is_found_by_lane(connection: Connection, position: Position) -> None:
    await store_batch(connection, position, [arrive(0, lock()), arrive(1, accept()), arrive(2, reject(9))], TOPICS)
    await connection.execute(
        "update budgets set acknowledgement_due_at = now() + '1 minute', parked_due_at = now() + '1 minute'"
    )
    assert await find_due(connection, [0]) == []
    await connection.execute("update budgets set acknowledgement_due_at = now(), parked_due_at = now()")
    assert sorted((due.deadline, due.version) for due in await find_due(connection, [0])) == [
        ("acknowledgement", 1),
        ("parked", 9),
    ]
    assert await find_due(connection, [1]) == []


async def hold_at(connection: Connection, position: Position, batch: list[Arrival], number: int) -> Position:
    """Store a batch on one message of which deciding fails."""
    failing = frozenset({identify(batch[number])})
    after, decided = await store_batch(connection, position, batch, TOPICS, failing)
    assert decided.holds
    return after


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_is_held_is_taken_up_again_in_order(
    connection: Connection,
    position: Position,
    at_once: bool,  # noqa: FBT001
) -> None:
    """Also when the release comes in the same batch."""
    other = STEEL | {"original_amount": "1.00"}
    early = accept(2, content_hash=hash_of(other))
    batch = [arrive(0, lock()), arrive(1, accept()), arrive(2, acknowledge("success")), arrive(3, early)]
    later = [arrive(4, release()), arrive(5, lock(2, other))]
    if at_once:
        _, decided = await store_batch(connection, position, batch + later, TOPICS, frozenset({identify(batch[1])}))
    else:
        position = await hold_at(connection, position, batch, 1)
        assert await verdicts(connection) == ["applied", "held", "held", "held"]
        _, decided = await store_batch(connection, position, later, TOPICS)
    # The second acceptance, held and then parked, was decided when its version became current.
    assert await verdicts(connection) == ["applied", "applied", "applied", "applied", "applied", "applied"]
    sent = [row.type for row in decided.rows if row.inbox_offset >= 4]
    assert sent.count("spectrum.export.v1") == 1
    assert sent.count("spectrum.resync.v1") == 1
    story = await read_budget_record(connection, KEY)
    assert story
    assert story.status
    assert (story.status.status, story.status.budget_version, story.status.on_hold) == ("EXPORTING", 2, False)


async def test_a_skipped_message_is_passed_over(connection: Connection, position: Position) -> None:
    batch = [arrive(0, lock()), arrive(1, accept()), arrive(2, reject())]
    position = await hold_at(connection, position, batch, 1)
    await store_batch(connection, position, [arrive(3, release("skip"))], TOPICS)
    assert await verdicts(connection) == ["applied", "ignored", "applied", "applied"]


async def test_a_release_that_fails_leaves_all_as_it_was(
    connection: Connection, position: Position, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bug is still there: nothing is lost, and a later release can still take it up."""
    batch = [arrive(0, lock()), arrive(1, accept())]
    position = await hold_at(connection, position, batch, 1)
    too_early = [arrive(2, release())]
    with monkeypatch.context() as planted:
        planted.setattr(Rules, "may_approve", fail)
        with pytest.raises(DecisionFailedError) as stumbled:
            await store_batch(connection, position, too_early, TOPICS)
        assert stumbled.value.arrival is too_early[0]
        position = await hold_at(connection, position, too_early, 0)
    assert await verdicts(connection) == ["applied", "held", "ignored"]
    await store_batch(connection, position, [arrive(3, release())], TOPICS)
    assert await verdicts(connection) == ["applied", "applied", "ignored", "applied"]


async def test_where_spectrum_may_hold_something(connection: Connection, position: Position) -> None:
    told: list[InboundMessage] = [lock(), accept(), acknowledge("failed")]
    position, _ = await store_batch(connection, position, [arrive(n, body) for n, body in enumerate(told)], TOPICS)
    taken = replace(RULES, jobs={(1, 2): RULES.jobs[KEY.project]})
    [lost], total = await find_lost_jobs(connection, taken)
    assert (lost.key, lost.job_number, lost.taker, total) == (KEY, "26-1001", (1, 2), 1)
    assert await find_lost_jobs(connection, RULES) == ((), 0)
    await store_batch(connection, position, [arrive(3, reset())], TOPICS)
    assert await find_lost_jobs(connection, taken) == ((), 0)


def fail(*_: object) -> bool:
    """In place of ``Rules.may_approve``: a bug of ours, planted."""
    raise RuntimeError("planted")


async def test_a_bug_holds_its_budget_and_nothing_else(
    connection: Connection, position: Position, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rules, "may_approve", fail)
    batch = [arrive(0, lock()), arrive(1, accept()), arrive(2, retrieve())]
    with pytest.raises(DecisionFailedError) as stumbled:
        await store_batch(connection, position, batch, TOPICS)
    assert stumbled.value.arrival is batch[1]
    assert await count(connection, "history") == 0
    other = arrive(3, lock(1, key=KEY._replace(project_id=5)))
    await store_batch(connection, position, [*batch, other], TOPICS, frozenset({identify(batch[1])}))
    assert await verdicts(connection) == ["applied", "held", "held", "applied"]
    story = await read_budget_record(connection, KEY)
    assert story
    assert story.status
    assert (story.status.status, story.status.on_hold) == ("PENDING_APPROVAL", True)


@pytest.mark.parametrize(
    "change",
    [
        "status = 'LOST'",
        "status = null",
        "version = null",
        "content_hash = null",
        "acknowledgement_due_at = null",
        "export_id = null",
        "waiting_version = 1",
        "claims_job = false",
        "parked = 1",
        "status = 'SYNCED', acknowledgement_due_at = null",
        "sequence = 0",
        "status = 'EXPORT_FAILED'",
    ],
)
async def test_the_database_refuses_what_cannot_be(connection: Connection, position: Position, change: str) -> None:
    await store_batch(connection, position, [arrive(0, lock()), arrive(1, accept())], TOPICS)
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute(f"update budgets set {change}")


async def test_two_budgets_cannot_claim_one_job(connection: Connection, position: Position) -> None:
    await store_batch(
        connection, position, [arrive(0, lock()), arrive(1, lock(1, key=KEY._replace(budget_id=2)))], TOPICS
    )
    with pytest.raises(asyncpg.ExclusionViolationError):
        await connection.execute("update budgets set claims_job = true")


async def test_the_largest_budget_is_stored(connection: Connection, position: Position) -> None:
    phases = {f"c{number}": RULES.phases["05-120"]._replace(phase_code=f"{number:05d}") for number in range(2000)}
    await put_in_force(connection, replace(RULES, phases=phases), "test", "test")
    lines = [
        STEEL | {"budget_line_item_id": number, "cost_code": f"c{number}", "original_amount": "1.00"}
        for number in range(2000)
    ]
    body: BudgetLocked = lock(1, *lines)
    _, decided = await store_batch(connection, position, [arrive(0, body), arrive(1, accept())], TOPICS)
    assert [len(row.record.value or b"") > 300_000 for row in decided.rows] == [True, False, True, False]


class TestMigrate:
    async def test_twenty_at_once(self, database_url: str) -> None:
        sessions = await asyncio.gather(*(connect(database_url) for _ in range(20)))
        applied = await asyncio.gather(*(migrate(session) for session in sessions))
        assert sum(map(len, applied)) == len(list_migrations())
        await asyncio.gather(*(session.close() for session in sessions))

    async def test_a_schema_that_does_not_fit(self, database_url: str) -> None:
        session = await connect(database_url)
        with pytest.raises(SchemaMismatch, match="budget-bridge migrate"):
            await check_schema(session)
        await migrate(session)
        await check_schema(session)
        await session.execute("insert into migrations (number, name) values (9999, 'newer')")
        with pytest.raises(SchemaMismatch, match="newer"):
            await migrate(session)
        await session.close()


def test_every_arrival_has_an_identity() -> None:
    arrivals: list[Arrival] = [arrive(0, b"junk"), arrive(1, lock())]
    assert [identify(arrival).company_id for arrival in arrivals] == [0, KEY.company_id]


class TestUnreadableState:
    """A state that cannot be read holds its budget: nothing of it is overwritten, and the others continue."""

    OTHER = KEY._replace(budget_id=2, project_id=7)

    async def spoil(self, connection: Connection, state: str) -> None:
        await connection.execute("update budgets set state = $1 where budget_id = $2", state, KEY.budget_id)

    @pytest.mark.parametrize("state", ['{"format":99}', "[]", '{"format":1}', "null"])
    async def test_its_budget_is_held_and_the_others_continue(
        self, connection: Connection, position: Position, state: str
    ) -> None:
        position, _ = await store_batch(connection, position, [arrive(0, lock())], TOPICS)
        await self.spoil(connection, state)
        before = await connection.fetchrow("select * from budgets")
        batch = [arrive(1, accept()), arrive(2, lock(1, key=self.OTHER)), arrive(3, reject())]
        position, decided = await store_batch(connection, position, batch, TOPICS)
        assert await verdicts(connection) == ["applied", "held", "applied", "held"]
        assert [row.budget for row in decided.rows] == [self.OTHER] * len(decided.rows)
        after = await connection.fetchrow("select * from budgets where budget_id = $1", KEY.budget_id)
        assert after
        assert before
        assert dict(after) == dict(before) | {"on_hold": True, "revision": before["revision"] + 1}
        [hold] = await connection.fetch("select reason, silent from holds")
        assert "stored state" in hold["reason"]
        assert hold["silent"]
        record = await read_budget_record(connection, KEY)
        assert record
        assert (record.status, record.unreadable, record.holds[0].reason) == (None, hold["reason"], hold["reason"])
        # A release is passed over as long as the state cannot be read.
        await store_batch(connection, position, [arrive(4, release())], TOPICS)
        assert (await verdicts(connection))[-2:] == ["held", "ignored"]
        assert await find_due(connection, [0]) == []

    async def test_once_it_can_be_read_again_a_release_continues(
        self, connection: Connection, database_url: str, position: Position
    ) -> None:
        position, _ = await store_batch(connection, position, [arrive(0, lock())], TOPICS)
        state = await connection.fetchval("select state from budgets")
        await self.spoil(connection, '{"format":99}')
        position, _ = await store_batch(connection, position, [arrive(1, accept())], TOPICS)
        await self.spoil(connection, state)
        # Still on hold: the column says so, whatever the state says.
        position, _ = await store_batch(connection, position, [arrive(2, retrieve())], TOPICS)
        _, decided = await store_batch(connection, position, [arrive(3, release())], TOPICS)
        assert await verdicts(connection) == ["applied", "applied", "refused", "applied"]
        assert "spectrum.export.v1" in {row.type for row in decided.rows}
        async with open_snapshot(database_url) as snapshot:
            assert await refold(snapshot) == []

    async def test_reading_everything_names_it(
        self, connection: Connection, database_url: str, position: Position
    ) -> None:
        await store_batch(connection, position, [arrive(0, lock()), arrive(1, lock(1, key=self.OTHER))], TOPICS)
        await self.spoil(connection, '{"format":99}')
        async with open_snapshot(database_url) as snapshot:
            found = {stored.key: stored.budget is None async for stored in snapshot.read_budgets()}
            assert found == {KEY: True, self.OTHER: False}
            [deviation] = await refold(snapshot)
        assert (deviation.budget, deviation.what) == (KEY, "its stored state cannot be read")

    async def test_the_state_of_another_budget_is_not_its_own(self, connection: Connection, position: Position) -> None:
        batch = [arrive(0, lock()), arrive(1, lock(1, key=self.OTHER))]
        position, _ = await store_batch(connection, position, batch, TOPICS)
        await self.spoil(
            connection,
            await connection.fetchval("select state from budgets where budget_id = $1", self.OTHER.budget_id),
        )
        await store_batch(connection, position, [arrive(2, accept())], TOPICS)
        assert await verdicts(connection) == ["applied", "applied", "held"]


async def test_an_old_state_is_stored_in_the_current_format_with_its_next_change(
    connection: Connection, position: Position
) -> None:
    position, _ = await store_batch(connection, position, [arrive(0, lock())], TOPICS)
    budget = read_state(await connection.fetchval("select state from budgets"))
    old = TypeAdapter(type(budget)).dump_json(budget).decode()
    assert "format" not in old
    await connection.execute("update budgets set state = $1", old)
    position, _ = await store_batch(connection, position, [arrive(1, lock(), "again")], TOPICS)
    assert await connection.fetchval("select state from budgets") == old
    await store_batch(connection, position, [arrive(2, accept())], TOPICS)
    assert (await connection.fetchval("select state from budgets")).startswith('{"format":1,')


class TestIdentity:
    """The type belongs to the identity, and a repeat says the same as the first."""

    async def test_an_id_of_one_type_does_not_use_up_that_of_another(
        self, connection: Connection, position: Position
    ) -> None:
        batch = [arrive(0, lock()), arrive(1, retrieve(9), "one"), arrive(2, reject(), "one")]
        _, decided = await store_batch(connection, position, batch, TOPICS)
        assert await verdicts(connection) == ["applied", "parked", "applied"]
        assert len({row.id for row in decided.rows}) == len(decided.rows)

    @pytest.mark.parametrize("at_once", [True, False])
    async def test_a_repeat_with_other_fields_is_set_aside(
        self,
        connection: Connection,
        position: Position,
        at_once: bool,  # noqa: FBT001
    ) -> None:
        first, second = [arrive(0, lock(), "one")], [arrive(1, lock(2), "one"), arrive(2, lock(), "one")]
        if at_once:
            position, decided = await store_batch(connection, position, first + second, TOPICS)
        else:
            position, _ = await store_batch(connection, position, first, TOPICS)
            position, decided = await store_batch(connection, position, second, TOPICS)
        assert await verdicts(connection) == ["applied", "dead_lettered"]
        [letter] = [row.record for row in decided.rows if row.record.topic.endswith("dead-letters")]
        assert dict(letter.headers)["dead_letter_reason"] == b"conflicting_content"
        assert letter.value == second[0].original.value
        assert [repeat.inbox.place.offset for repeat in decided.repeats] == [2]
        # The same record, copied to the inbox again, is a repeat of what was set aside.
        again = [arrive(5, lock(2), "one", came_from=1)]
        _, decided = await store_batch(connection, position, again, TOPICS)
        assert (len(decided.repeats), decided.rows) == (1, [])

    async def test_the_same_fields_in_other_bytes_are_a_repeat(
        self, connection: Connection, position: Position
    ) -> None:
        position, _ = await store_batch(connection, position, [arrive(0, lock(), "one")], TOPICS)
        spaced = replace(arrive(1, lock(), "one"))
        original = replace(spaced.original, value=(spaced.original.value or b"").replace(b": ", b":   "))
        _, decided = await store_batch(connection, position, [replace(spaced, original=original)], TOPICS)
        assert len(decided.repeats) == 1

    async def test_of_a_pruned_message_nothing_can_be_compared(
        self, connection: Connection, position: Position
    ) -> None:
        position, _ = await store_batch(connection, position, [arrive(0, lock(), "one")], TOPICS)
        await connection.execute("update history set pruned = true, key = null, headers = '[]', body = null")
        batch = [arrive(1, lock(2), "one"), arrive(2, lock(3), "one")]
        _, decided = await store_batch(connection, position, batch, TOPICS)
        assert (len(decided.repeats), decided.rows) == (2, [])


async def test_no_record_can_make_postgres_refuse_the_batch(connection: Connection, position: Position) -> None:
    """Written straight into the inbox, a record may name any origin; whatever it names, the next one is decided."""
    batch: list[Arrival] = []
    for topic in ("x.procore.budgets", "a\x00b", "\ud800", "t" * 100_000):
        for number in (-1, 2**31, 2**63, 10**600):
            arrival = arrive(len(batch), b"junk")
            place = Place(topic, number, number)
            headers = (("na\x00me", b"\x00"), ("gr\udcf6sse", b"\xff"))
            original = replace(
                arrival.original, place=place, timestamp_ms=number, key=b"\x00\xff", headers=headers, value=b"\x00"
            )
            inbox = replace(arrival.inbox, timestamp_ms=number if number < 2**64 else 0)
            wrong = Unreadable("unreadable", f"{topic}\x00\ud800 is no topic that we read")
            batch.append(Arrival(inbox, original, wrong))
    last = len(batch)
    position, decided = await store_batch(connection, position, [*batch, arrive(last, lock())], TOPICS)
    assert await verdicts(connection) == ["dead_lettered"] * last + ["applied"]
    rows = await read_outbox(connection, 0, 0, last, 100)
    assert [row.record for row in rows] == [row.record for row in decided.rows[:last]]
    assert {row.record.value for row in rows} == {b"\x00"}
    _, again = await store_batch(
        connection,
        position,
        [replace(one, inbox=replace(one.inbox, place=Place("i", 0, 99))) for one in batch],
        TOPICS,
    )
    assert len(again.repeats) == last


async def test_a_lock_that_others_hold_is_waited_for_and_never_holds_a_budget(
    connection: Connection, database_url: str, position: Position
) -> None:
    """Whatever limits the database has as its default: an ALTER TABLE of others is the world, not wrong data."""
    await connection.execute(
        "do $$ begin execute format('alter database %I set lock_timeout = ''100ms''', current_database());"
        "execute format('alter database %I set statement_timeout = ''100ms''', current_database()); end $$"
    )
    other = await connect(database_url)
    assert await other.fetchval("show lock_timeout") == "0"
    await connection.execute("begin")
    await connection.execute("lock table outbox in access exclusive mode")
    storing = asyncio.create_task(store_batch(other, position, [arrive(0, lock())], TOPICS))
    done, _ = await asyncio.wait({storing}, timeout=0.5)
    assert not done
    await connection.execute("rollback")
    await storing
    await other.execute("set lock_timeout = '100ms'")
    await connection.execute("begin")
    await connection.execute("lock table outbox in access exclusive mode")
    after = (await storing)[0]
    with pytest.raises(DatabaseDown, match="55P03"):
        await store_batch(other, after, [arrive(1, accept())], TOPICS)
    await connection.execute("rollback")
    await other.close()


async def test_what_is_due_of_a_budget_on_hold_is_not_found(connection: Connection, position: Position) -> None:
    keys = [KEY._replace(project_id=KEY.project_id, budget_id=number) for number in (1, 2, 3)]
    await store_batch(
        connection,
        position,
        [arrive(n, accept(9, key=key, content_hash="0" * 64)) for n, key in enumerate(keys)],
        TOPICS,
    )
    await connection.execute("update budgets set parked_due_at = now() - budget_id * interval '1 minute'")
    assert [due.key.budget_id for due in await find_due(connection, [0])] == [3, 2, 1]
    await connection.execute("update budgets set on_hold = true where budget_id = 2")
    assert [due.key.budget_id for due in await find_due(connection, [0])] == [3, 1]


async def test_a_name_that_shadows_ours_changes_nothing(
    connection: Connection, database_url: str, position: Position
) -> None:
    await connection.execute(
        "do $$ begin execute format('create schema %I', current_user);"
        "execute format('create table %I.positions (inbox_partition integer)', current_user); end $$"
    )
    other = await connect(database_url)
    after, _ = await store_batch(other, position, [arrive(0, lock())], TOPICS)
    assert after.next_offset == 1
    await other.close()


async def test_each_step_of_the_transaction_is_announced(connection: Connection, position: Position) -> None:
    """The crash tests end the process at these points."""
    seen: list[str] = []
    listening = True

    def listen(event: str, _: tuple[object, ...]) -> None:
        if listening and event.startswith("budget-bridge.store."):
            seen.append(event.removeprefix("budget-bridge.store."))

    sys.addaudithook(listen)
    position, _ = await store_batch(
        connection, position, [arrive(0, lock()), arrive(1, accept(2, content_hash="0" * 64))], TOPICS
    )
    begun = ["transaction-begun", "position-moved", "budgets-loaded", "decided", "history-written"]
    ended = ["outbox-written", "before-commit", "after-commit"]
    assert seen == [*begun, "budgets-added", *ended]
    seen.clear()
    batch = [arrive(2, retrieve()), arrive(3, lock(2))]
    await store_batch(connection, position, batch, TOPICS, frozenset({identify(arrive(4, lock(3)))}))
    assert seen == [*begun, "verdicts-changed", "budgets-changed", *ended]
    listening = False


async def test_a_database_of_the_fourth_schema_is_upgraded_with_what_is_in_it(database_url: str) -> None:
    session = await connect(database_url)
    await session.execute("create table migrations (number integer primary key, name text not null)")
    await session.execute("alter table migrations add applied_at timestamptz not null default now()")
    for number, name in list_migrations().items():
        if number <= 4:
            await session.execute((files("outbox") / "migrations" / name).read_text())
            await session.execute("insert into migrations (number, name) values ($1, $2)", number, name)
    await session.execute(
        "insert into history (company_id, project_id, source, id, inbox_partition, inbox_offset, at, origin_topic,"
        " origin_partition, origin_offset, origin_timestamp_ms, type, budget_id, budget_version, headers, verdict,"
        " detail, rules_id) values"
        " (0, 0, 't/0', '1@2', 0, 1, now(), 't', 0, 1, 2, null, null, null, '[]', 'dead_lettered', '', 1),"
        " (1, 2, 's', 'i', 0, 2, now(), 't', 0, 2, 2, 'budget.locked.v1', 3, 1, '[]', 'applied', '', 1)"
    )
    applied = await migrate(session)
    assert [name[:4] for name in applied[:2]] == ["0005", "0006"]
    rows = await session.fetch("select id, type from history order by inbox_offset")
    assert [tuple(row) for row in rows] == [("1@2", ""), ("i", "budget.locked.v1")]
    # The same source and id with another type is another message from now on.
    await session.execute(
        "insert into history select company_id, project_id, source, id, inbox_partition, 9, at, origin_topic,"
        " origin_partition, origin_offset, origin_timestamp_ms, 'budget.reset.v1', budget_id, budget_version, key,"
        " headers, body, verdict, detail, rules_id, pruned from history where inbox_offset = 2"
    )
    await session.close()
