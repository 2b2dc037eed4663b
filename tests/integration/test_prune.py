"""Pruning, on a real Postgres: old data is deleted in small steps, and nothing that is still needed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from contracts.inbound import InboundMessage
from contracts.inbox import Arrival
from handlers.rules import Job, Rules
from outbox import prune as pruning
from outbox.audit import open_snapshot
from outbox.budget_record import read_budget_record
from outbox.database import Connection, DatabaseBusy, connect
from outbox.identity import identify
from outbox.position import Position, start_position
from outbox.prune import Old, Pruned, find_cutoff, lock_pruning, prune
from outbox.recovery import open_recovery
from outbox.rules import put_in_force
from outbox.store import store_batch
from tests.integration.records import AT, TOPICS, arrive
from tests.unit.builders import KEY, RULES, STEEL, accept, acknowledge, lock, reject, release, reset, retrieve

KEYS = [KEY._replace(project_id=project) for project in range(1, 31)]
ITS_RULES = Rules(
    {key[:2]: Job("001", f"J{key.project_id}") for key in (KEY, *KEYS)},
    RULES.phases,
    RULES.cost_types,
    {(KEY.company_id, None): frozenset({"ann"})},
    require_content_hash=False,
)
EVERYTHING = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
async def rules(connection: Connection) -> None:
    await put_in_force(connection, ITS_RULES, "test", "test")


async def let_go(connection: Connection, old: Old, *, dry_run: bool = False) -> Pruned:
    gone = Pruned(0, 0)
    async for step in prune(connection, old, dry_run=dry_run):
        gone = gone.add(step)
    return gone


async def read_rows(connection: Connection) -> list[int]:
    return [row[0] for row in await connection.fetch("select inbox_offset from outbox order by 1, ordinal")]


async def read_pruned(connection: Connection) -> list[int]:
    return [row[0] for row in await connection.fetch("select inbox_offset from history where pruned order by 1")]


def arrive_all(bodies: Sequence[InboundMessage | bytes], first: int = 0) -> list[Arrival]:
    return [arrive(first + number, body) for number, body in enumerate(bodies)]


def move(arrival: Arrival, lane: int) -> Arrival:
    return replace(arrival, inbox=replace(arrival.inbox, place=arrival.inbox.place._replace(partition=lane)))


def before(offset: int) -> datetime:
    """The time of the record at an offset."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=AT + offset)


async def test_what_is_old_and_published_goes_and_all_else_stays(connection: Connection, position: Position) -> None:
    bodies = [lock(key=KEYS[0]), lock(key=KEYS[1]), lock(key=KEYS[2]), lock(key=KEYS[3])]
    await store_batch(connection, position, arrive_all(bodies), TOPICS)
    # Of another lane nothing is published.
    other = await start_position(connection, 1, 0, uuid4())
    await store_batch(connection, other, [move(arrive(0, lock(key=KEYS[4])), 1)], TOPICS)
    rows = await connection.fetch("select * from outbox order by 1, 2, 3")

    assert await let_go(connection, Old(0, 3, before(2)), dry_run=True) == (4, 2)
    assert await connection.fetch("select * from outbox order by 1, 2, 3") == rows
    assert await connection.fetchval("select pruned_before from deployment") is None
    assert await let_go(connection, Old(0, 3, before(2))) == (4, 2)
    assert await connection.fetchval("select pruned_before from deployment") == before(2)
    assert await read_rows(connection) == [0, 0, 2, 2, 3, 3]
    assert await read_pruned(connection) == [0, 1]
    # What is young enough then, but not published, stays.
    assert await let_go(connection, Old(0, 3, EVERYTHING)) == (2, 1)
    assert await connection.fetch("select * from outbox order by 1, 2, 3") == [
        row for row in rows if row["inbox_offset"] == 3 or row["inbox_partition"] == 1
    ]
    assert await let_go(connection, Old(0, 3, EVERYTHING)) == (0, 0)
    # A later prune of what is younger takes nothing back.
    assert await let_go(connection, Old(1, 1, before(1))) == (2, 1)
    assert await connection.fetchval("select pruned_before from deployment") == EVERYTHING


async def test_history_keeps_all_but_the_bytes(connection: Connection, position: Position) -> None:
    bodies: list[InboundMessage | bytes] = [lock(), accept(), acknowledge("success"), b"no message"]
    batch = arrive_all(bodies)
    position, _ = await store_batch(connection, position, batch, TOPICS)
    before_it = await connection.fetch("select * from history order by inbox_offset")
    story = await read_budget_record(connection, KEY)
    assert await let_go(connection, Old(0, 4, EVERYTHING)) == (7, 3)
    after_it = await connection.fetch("select * from history order by inbox_offset")
    for was, is_now in zip(before_it, after_it, strict=True):
        bulk = {"pruned": True, "key": None, "headers": "[]", "body": None}
        # A person's message keeps its bytes: every later export is compared with it.
        assert dict(is_now) == dict(was) | ({} if was["type"] == "approval.decision.v1" else bulk)
    told = await read_budget_record(connection, KEY)
    assert story
    assert told
    assert (told.status, told.history, told.sent) == (story.status, story.history, ())
    assert (story.pruned_before, told.pruned_before) == (None, EVERYTHING)

    # The same again, under new places: all are repeats, also what never could be read.
    again = [arrive(10 + number, body, f"m{number}", came_from=number) for number, body in enumerate(bodies)]
    position, decided = await store_batch(connection, position, again, TOPICS)
    assert (len(decided.repeats), decided.entries, decided.rows) == (4, [], [])
    # And new messages continue from the state.
    next_lock = lock(2, STEEL | {"original_amount": "1"})
    _, decided = await store_batch(connection, position, [arrive(20, next_lock)], TOPICS)
    assert [row.type for row in decided.rows] == ["approval.requested.v1", "budget.status.v1"]


async def test_what_people_said_stays(connection: Connection, position: Position) -> None:
    said: list[InboundMessage] = [accept(), retrieve(), release(), reset(), reject()]
    await store_batch(connection, position, arrive_all([lock(), *said]), TOPICS)
    await let_go(connection, Old(0, 100, EVERYTHING))
    assert await read_pruned(connection) == [0]


async def test_what_is_to_be_decided_stays(connection: Connection, position: Position) -> None:
    parked, waits = KEYS[:2]
    changed = lock(2, STEEL | {"original_amount": "1"}, key=waits)
    bodies: list[InboundMessage] = [reject(2, key=parked), lock(1, key=waits), accept(1, key=waits), changed]
    position, _ = await store_batch(connection, position, arrive_all(bodies), TOPICS)
    verdicts = await connection.fetch("select verdict from history order by inbox_offset")
    assert [row[0] for row in verdicts] == ["parked", "applied", "applied", "waiting"]
    # A type that pruning takes could be parked one day.
    await connection.execute("update history set type = 'budget.locked.v1' where verdict = 'parked'")
    await let_go(connection, Old(0, 100, EVERYTHING))
    assert await read_pruned(connection) == [1]
    # The one that waited is decided from its own bytes, and may be pruned after that.
    position, decided = await store_batch(connection, position, [arrive(10, acknowledge("success", key=waits))], TOPICS)
    assert "approval.requested.v1" in {row.type for row in decided.rows}
    await let_go(connection, Old(0, 100, EVERYTHING))
    assert await read_pruned(connection) == [1, 3, 10]


async def test_a_budget_on_hold_keeps_everything_until_it_is_released(
    connection: Connection, position: Position
) -> None:
    held, to_come, free = KEYS[:3]
    batch = arrive_all([lock(key=held), lock(key=to_come), lock(key=free)])
    position, _ = await store_batch(connection, position, batch, TOPICS)
    stumbling = [arrive(3, accept(key=held)), arrive(4, lock(2, key=held))]
    failing = frozenset({identify(stumbling[0])})
    position, _ = await store_batch(connection, position, stumbling, TOPICS, failing)
    await connection.execute(
        "insert into holds (company_id, project_id, budget_id, reason, inbox_partition) values ($1, $2, $3, 'a', 0)",
        *to_come,
    )
    await let_go(connection, Old(0, 100, EVERYTHING))
    assert await read_pruned(connection) == [2]
    _, decided = await store_batch(connection, position, [arrive(5, release(key=held))], TOPICS)
    assert "spectrum.export.v1" in {row.type for row in decided.rows}
    await connection.execute("delete from holds where inbox_offset is null")
    await let_go(connection, Old(0, 100, EVERYTHING))
    # The second lock of it waits behind the export now.
    assert await read_pruned(connection) == [0, 1, 2]


async def test_the_database_itself_keeps_what_is_to_be_decided(connection: Connection, position: Position) -> None:
    await store_batch(connection, position, [arrive(0, reject())], TOPICS)
    with pytest.raises(asyncpg.CheckViolationError, match="history_keeps_what_is_to_be_decided"):
        await connection.execute("update history set pruned = true, key = null, headers = '[]', body = null")


async def test_it_goes_in_small_steps_each_kept_by_itself(
    connection: Connection,
    database_url: str,
    position: Position,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pruning, "AT_ONCE", 7)
    bodies = [lock(key=key) for key in KEYS]
    await store_batch(connection, position, arrive_all(bodies), TOPICS)
    other = await connect(database_url)
    steps = []
    async for step in prune(connection, Old(0, 100, EVERYTHING), dry_run=False):
        steps.append(step)
        # Somebody else sees it at once, and nothing is locked meanwhile.
        assert await other.fetchval("select count(*) from outbox") == 60 - sum(one.rows for one in steps)
        assert await other.fetchval("select count(*) from history where pruned") == sum(one.messages for one in steps)
    await other.close()
    assert [one.rows for one in steps] == [7] * 8 + [4] + [0] * 5
    assert [one.messages for one in steps] == [0] * 9 + [7] * 4 + [2]


async def test_beside_a_lane_that_writes(
    connection: Connection,
    database_url: str,
    position: Position,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pruned after every batch, up to the lane's position: the result is the same as without pruning."""
    monkeypatch.setattr(pruning, "AT_ONCE", 5)
    told: list[InboundMessage] = []
    for version in (1, 2):
        line = STEEL | {"original_amount": f"{version}"}
        for body in (
            lambda key, number=version, line=line: lock(number, line, key=key),
            lambda key, number=version: accept(number, key=key),
            lambda key, number=version: acknowledge("success", number, key=key),
        ):
            told.extend(body(key) for key in KEYS)
    stored = position

    async def write() -> None:
        nonlocal stored
        lane = await connect(database_url)
        for first in range(0, len(told), 6):
            stored, _ = await store_batch(lane, stored, arrive_all(told[first : first + 6], first), TOPICS)
        await lane.close()

    writing = asyncio.create_task(write())
    gone = Pruned(0, 0)
    while not writing.done():
        gone = gone.add(await let_go(connection, Old(0, stored.next_offset - 3, EVERYTHING)))
        await asyncio.sleep(0)
    await writing
    assert gone.total > 100
    gone = gone.add(await let_go(connection, Old(0, stored.next_offset, EVERYTHING)))
    assert await connection.fetchval("select count(*) from outbox") == 0
    assert await connection.fetchval("select count(*) from history where not pruned") == 60
    assert await connection.fetchval("select count(*) from history") == len(told)
    statuses = await connection.fetch("select status, synced_version, sequence from budgets")
    assert {tuple(row) for row in statuses} == {("SYNCED", 2, statuses[0]["sequence"])}


async def test_it_stops_at_the_first_that_is_young(connection: Connection, position: Position) -> None:
    """A broker's clock was set back: what is behind a young record is kept, so that nothing has a gap."""
    await store_batch(connection, position, arrive_all([lock(key=key) for key in KEYS[:4]]), TOPICS)
    for table in ("outbox", "history"):
        await connection.execute(f"update {table} set at = $1 where inbox_offset = 1", EVERYTHING)
    assert await let_go(connection, Old(0, 100, before(10))) == (2, 1)
    assert await read_rows(connection) == [1, 1, 2, 2, 3, 3]
    assert await read_pruned(connection) == [0]


async def test_a_log_that_is_gone_counts_as_published(
    connection: Connection, database_url: str, position: Position
) -> None:
    """Its lane has an offset in the new log; what the old one caused is never published from here again."""
    await store_batch(connection, position, arrive_all([lock(key=KEYS[0])]), TOPICS)
    async with open_recovery(database_url) as recovery:
        await recovery.forget_log(0)
        position = await recovery.put_position(0, 0)
        await recovery.keep()
    await store_batch(connection, position, arrive_all([lock(key=KEYS[1])], 5), TOPICS)
    assert await let_go(connection, Old(0, 5, EVERYTHING)) == (2, 1)
    assert await read_rows(connection) == [5, 5]


async def test_one_prune_at_a_time_and_none_beside_a_recovery(connection: Connection, database_url: str) -> None:
    async with open_recovery(database_url), open_recovery(database_url):
        with pytest.raises(DatabaseBusy):
            await lock_pruning(connection)
    await lock_pruning(connection)
    other = await connect(database_url)
    with pytest.raises(DatabaseBusy):
        await lock_pruning(other)
    await other.close()
    with pytest.raises(DatabaseBusy, match="wait until it has ended"):
        async with open_recovery(database_url):
            pass


async def test_age_goes_by_the_clock_of_the_database(connection: Connection) -> None:
    cutoff = await find_cutoff(connection, timedelta(days=400))
    assert await connection.fetchval("select now() - $1 between interval '400 days' and interval '401 days'", cutoff)


async def test_a_snapshot_from_before_a_prune_sees_all_of_it(
    connection: Connection, database_url: str, position: Position
) -> None:
    await store_batch(connection, position, arrive_all([lock()]), TOPICS)
    async with open_snapshot(database_url) as snapshot:
        assert await snapshot.read_pruned_before() is None
        await let_go(connection, Old(0, 100, EVERYTHING))
        assert await snapshot.read_pruned_before() is None
        effects = [effect async for effect in snapshot.read_effects(KEY.project)]
        [message] = [kept async for kept in snapshot.read_history([KEY.project])]
        assert (len(effects), message.original.key) == (2, b"key")
