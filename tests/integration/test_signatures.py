"""Signed and forged messages on a real Postgres: what is stored of them, shown, held, and decided again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from contracts.budget_key import BudgetKey
from contracts.inbox import Arrival
from outbox.audit import Snapshot
from outbox.backlog import read_outbox
from outbox.budget_record import read_budget_record, read_verdict
from outbox.database import Connection
from outbox.decide_again import ProjectDecidedAgain
from outbox.identity import identify, identify_origin
from outbox.position import Position
from outbox.rules import put_in_force
from outbox.store import store_batch
from tests.integration.records import AT, TOPICS, arrive
from tests.integration.stored import count_rows, read_verdicts
from tests.unit.builders import KEY, lock, release
from tests.unit.signed import NOW, OLGA, SIGNED, SIGNERS, accept_signed, arrive_signed
from worker.reconcile.decided_again import decide_project_again, read_all_rules

FORGED = arrive_signed(1, accept_signed(), key=None)
GENUINE = arrive_signed(2, accept_signed())


@pytest.fixture
async def rules(connection: Connection) -> None:
    await put_in_force(connection, SIGNED, "test", "test")


async def list_deviations(connection: Connection, key: BudgetKey = KEY) -> list[str]:
    """What deciding the history of a project again gives otherwise."""
    snapshot = Snapshot(connection)
    async with connection.transaction():
        again = ProjectDecidedAgain(await read_all_rules(snapshot), TOPICS)
        return [found.what async for found in decide_project_again(snapshot, key.project, again)]


def move(arrival: Arrival, offset: int) -> Arrival:
    """The same record, later in the inbox."""
    return replace(arrival, inbox=replace(arrival.inbox, place=arrival.inbox.place._replace(offset=offset)))


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_forgery_uses_up_no_id_in_whatever_order_they_come(
    connection: Connection, position: Position, order: int, *, at_once: bool
) -> None:
    position, _ = await store_batch(connection, position, [arrive(0, lock())], TOPICS)
    both = [move(one, offset) for offset, one in enumerate([FORGED, GENUINE][::order], 1)]
    for part in [both] if at_once else [[one] for one in both]:
        position, _ = await store_batch(connection, position, part, TOPICS)
    assert await read_verdicts(connection) == ["applied", *["refused", "applied"][::order]]
    rows = await read_outbox(connection, 0, 0, 10, 100)
    assert [row.record.topic for row in rows].count("x.spectrum.exports") == 1
    stored = await connection.fetch("select type, budget_id, kid from history order by inbox_offset")
    expected = [("", KEY.budget_id, None), ("approval.decision.v1", KEY.budget_id, "ann-1")]
    assert [tuple(row) for row in stored][1:] == expected[::order]
    assert await list_deviations(connection) == []


async def test_a_record_that_came_again_is_a_repeat_whether_it_was_proven_or_not(
    connection: Connection, position: Position
) -> None:
    position, _ = await store_batch(connection, position, [arrive(0, lock()), FORGED, GENUINE], TOPICS)
    again = [move(FORGED, 3), move(GENUINE, 4)]
    _, decided = await store_batch(connection, position, again, TOPICS)
    assert (len(decided.repeats), decided.rows) == (2, [])
    assert await count_rows(connection, "history") == 3


async def test_what_is_held_keeps_its_proof_in_the_database(connection: Connection, position: Position) -> None:
    failing = arrive(0, lock())
    batch = [failing, arrive_signed(1, accept_signed(), "held")]
    position, _ = await store_batch(connection, position, batch, TOPICS, frozenset({identify(failing)}))
    assert await read_verdicts(connection) == ["held", "held"]
    await store_batch(connection, position, [arrive_signed(2, release(), "free", key=OLGA)], TOPICS)
    assert await read_verdicts(connection) == ["applied", "applied", "applied"]
    [export] = [row for row in await read_outbox(connection, 0, 0, 10, 100) if row.record.topic.endswith("exports")]
    assert b'"approval":{"specversion":"1.0","id":"held"' in (export.record.value or b"")
    assert await list_deviations(connection) == []


async def test_what_is_held_is_refused_once_its_key_may_not_sign_it(connection: Connection, position: Position) -> None:
    failing = arrive(0, lock())
    batch = [failing, arrive_signed(1, accept_signed(), "held")]
    position, _ = await store_batch(connection, position, batch, TOPICS, frozenset({identify(failing)}))
    await put_in_force(connection, replace(SIGNED, signers=SIGNERS[1:], signing_keys=SIGNED.signing_keys), "a", "b")
    _, decided = await store_batch(connection, position, [arrive_signed(2, release(), "free", key=OLGA)], TOPICS)
    assert await read_verdicts(connection) == ["applied", "refused", "applied"]
    [refused] = [row for row in decided.rows if row.type == "request.refused.v1"]
    assert b'"code":"signer_not_allowed"' in (refused.record.value or b"")
    assert await list_deviations(connection) == []


async def test_a_budget_shows_who_has_signed_and_who_has_not(connection: Connection, position: Position) -> None:
    await store_batch(connection, position, [arrive(0, lock()), FORGED, GENUINE], TOPICS)
    record = await read_budget_record(connection, KEY)
    assert record
    assert [(row.verdict, row.type, row.kid, row.budget_version) for row in record.history] == [
        ("applied", "budget.locked.v1", None, 1),
        ("refused", "approval.decision.v1", None, 1),
        ("applied", "approval.decision.v1", "ann-1", 1),
    ]
    verdict = await read_verdict(connection, KEY, "one", FORGED.original.place)
    assert verdict
    assert (verdict[0], verdict[1].partition(":")[0]) == ("refused", "signature_missing")
    assert (await read_verdict(connection, KEY, "one", GENUINE.original.place) or "")[0] == "applied"


@pytest.mark.parametrize(
    "spoil",
    [
        # An acceptance that was refused is made one that was granted, and the reverse.
        (
            "update history set type = 'approval.decision.v1', source = 'test', id = 'x', verdict = 'applied' "
            "where type = ''"
        ),
        "update history set type = '', source = 'a/1', id = '2', verdict = 'refused' where kid is not null",
        # What was signed is put into the place of what was not.
        "update history set headers = (select headers from history where kid is not null) where type = ''",
    ],
)
async def test_deciding_again_finds_what_was_changed_by_hand(
    connection: Connection, position: Position, spoil: str
) -> None:
    await store_batch(connection, position, [arrive(0, lock()), FORGED, GENUINE], TOPICS)
    assert await list_deviations(connection) == []
    await connection.execute(spoil)
    assert await list_deviations(connection) != []


WITHOUT_ANN = replace(SIGNED, signers=SIGNERS[1:])


async def test_a_record_that_is_copied_again_is_a_repeat_whatever_rules_came_between(
    connection: Connection, position: Position
) -> None:
    """Neither is what was accepted refused, nor what was refused accepted."""
    position, _ = await store_batch(connection, position, [arrive(0, lock()), GENUINE], TOPICS)
    await put_in_force(connection, WITHOUT_ANN, "test", "test")
    late = arrive_signed(3, accept_signed(2), "late")
    batch = [move(GENUINE, 3), move(late, 4)]
    position, decided = await store_batch(connection, position, batch, TOPICS)
    assert [len(decided.repeats), *await read_verdicts(connection)] == [1, "applied", "applied", "refused"]
    await put_in_force(connection, SIGNED, "test", "test")
    position, decided = await store_batch(connection, position, [move(late, 5)], TOPICS)
    assert (len(decided.repeats), decided.rows) == (1, [])
    await put_in_force(connection, replace(SIGNED, signatures_required=frozenset()), "test", "test")
    position, decided = await store_batch(connection, position, [move(late, 6)], TOPICS)
    assert (len(decided.repeats), decided.rows) == (1, [])
    # Sent again it is another record, and its key may sign now.
    await put_in_force(connection, SIGNED, "test", "test")
    await store_batch(connection, position, [arrive_signed(7, accept_signed(2), "late")], TOPICS)
    assert (await read_verdicts(connection))[-1] == "parked"
    assert await list_deviations(connection) == []


async def test_a_forgery_in_the_inbox_that_claims_the_place_of_a_message_does_not_keep_it_out(
    connection: Connection, position: Position
) -> None:
    forged = replace(FORGED, original=replace(FORGED.original, place=GENUINE.original.place, timestamp_ms=AT + 2000))
    assert identify_origin(forged) == identify_origin(GENUINE)
    position, _ = await store_batch(connection, position, [arrive(0, lock()), forged], TOPICS)
    await store_batch(connection, position, [GENUINE], TOPICS)
    assert await read_verdicts(connection) == ["applied", "refused", "applied"]


async def test_the_same_bytes_are_a_repeat_also_when_their_signature_has_expired(
    connection: Connection, position: Position
) -> None:
    first = arrive_signed(1, accept_signed(), "one", signed_at=NOW)
    position, _ = await store_batch(connection, position, [arrive(0, lock()), first], TOPICS)
    a_month = 30 * 24 * 3600
    again = arrive_signed(a_month, accept_signed(), "one", signed_at=NOW)
    assert again.original.value == first.original.value
    position, decided = await store_batch(connection, position, [again], TOPICS)
    assert (len(decided.repeats), decided.rows) == (1, [])
    forged = arrive_signed(a_month + 1, accept_signed(), "one", key=None, signed_at=NOW)
    other = arrive_signed(a_month + 2, accept_signed(), "one", signed_at=NOW + timedelta(seconds=1))
    _, decided = await store_batch(connection, position, [forged, other], TOPICS)
    assert (await read_verdicts(connection))[2:] == ["refused", "refused"]
    assert await list_deviations(connection) == []
