"""An import, on a real Postgres: stored, loaded, due, decided again, and found where something of it was changed."""

from contracts.inbound import InboundMessage
from outbox.audit import open_snapshot
from outbox.budget_record import read_budget_record
from outbox.database import Connection
from outbox.decide_again import ProjectDecidedAgain
from outbox.due import Due, find_due
from outbox.loading import load_batch
from outbox.position import Position
from outbox.rules import put_in_force
from outbox.store import store_batch
from tests.integration.records import TOPICS, arrive
from tests.integration.stored import count_rows, read_verdicts
from tests.unit.builders import KEY, accept, apply_import, lock, request_import
from tests.unit.import_builders import MAPS, list_job, lock_line, read_job
from worker.reconcile.decided_again import decide_project_again
from worker.reports.import_report import write_import
from worker.telemetry.metrics import IMPORTS_ENDED, count_batch

TAKEN: tuple[InboundMessage, ...] = (request_import(), read_job(*list_job()), apply_import("whole"))


async def store(connection: Connection, position: Position, *bodies: InboundMessage, first: int = 0) -> Position:
    if first == 0:
        await put_in_force(connection, MAPS, "olga", "imports")
    for offset, body in enumerate(bodies, first):
        position, _ = await store_batch(connection, position, [arrive(offset, body)], TOPICS)
    return position


async def test_a_budget_that_was_never_locked_shows_its_import(connection: Connection, position: Position) -> None:
    await store(connection, position, *TAKEN[:2])
    record = await read_budget_record(connection, KEY)
    assert record
    assert (record.status, write_import(record.budget)["state"]) == (None, "READY")
    assert (record.history[0].type, record.history[0].budget_version) == ("import.requested.v1", None)


async def test_what_was_adopted_is_decided_again(connection: Connection, database_url: str, position: Position) -> None:
    version = lock(1, lock_line("L01500", 1, "48000.00"), lock_line("M03300", 2, "312500.00"))
    await store(connection, position, *TAKEN, version, accept())
    assert await read_verdicts(connection) == ["applied"] * 5
    async with open_snapshot(database_url) as found:
        again = ProjectDecidedAgain({2: MAPS}, TOPICS)
        assert [one async for one in decide_project_again(found, KEY.project, again)] == []
    [budget] = (await load_batch(connection, [arrive(9, accept())], TOPICS)).budgets.values()
    assert budget[0].unanswered
    assert [line.gone for line in budget[0].unanswered.lines] == [False, False, True]
    assert await count_rows(connection, "readings") == 1


async def test_ended_imports_are_counted_by_cause(connection: Connection, position: Position) -> None:
    before = IMPORTS_ENDED.labels("abandoned")._value.get()
    position = await store(connection, position, *TAKEN[:2])
    _, decided = await store_batch(connection, position, [arrive(2, apply_import("abandoned"))], TOPICS)
    count_batch(decided)
    assert IMPORTS_ENDED.labels("abandoned")._value.get() == before + 1


async def test_an_import_expires(connection: Connection, position: Position) -> None:
    await store(connection, position, *TAKEN[:1])
    due = {one.deadline: one for one in await find_due(connection, [0])}
    assert due["import"] == Due("import", KEY, None, due["import"].due_at)
    assert await find_due(connection, [1]) == []
