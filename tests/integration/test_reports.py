"""Reports for operators, on a real Postgres: budgets by status, one budget's record, dead letters, missing rights."""

import io
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from contracts.budget_key import BudgetKey
from contracts.records import Headers, Place
from handlers.ids import name_export
from handlers.rules import Job, Rules
from outbox.budget_record import BudgetRecord, read_budget_record, read_verdict
from outbox.database import Connection
from outbox.dead_letters import (
    DeadLetterFilter,
    ListedDeadLetter,
    StoredDeadLetter,
    count_dead_letters,
    find_dead_letter,
    list_dead_letters,
    read_dead_letter,
)
from outbox.position import Position
from outbox.recovery import open_recovery
from outbox.replay import find_obstacle
from outbox.rules import put_in_force
from outbox.store import store_batch
from tests.integration.records import AT, TOPICS, arrive
from tests.unit.builders import KEY, RULES, STEEL, accept, acknowledge, lock
from worker.console import Console
from worker.reports.budget_list import BEFORE_ALL, print_budget_page, read_budget_page, write_budget_page
from worker.reports.budget_report import print_budget, write_budget
from worker.reports.dead_letter_report import print_dead_letter, print_dead_letters, write_dead_letters

KEYS = [KEY._replace(project_id=project) for project in range(1, 8)]
ITS_RULES = Rules(
    {key.project: Job("001", f"J{key.project_id}") for key in (KEY, *KEYS)},
    RULES.phases,
    RULES.cost_types,
    {(KEY.company_id, None): frozenset({"ann"})},
    require_content_hash=False,
)
UNKNOWN_CODE = STEEL | {"cost_code": "[/b]99-999"}


@pytest.fixture
async def rules(connection: Connection) -> None:
    await put_in_force(connection, ITS_RULES, "test", "test")


def print_to_text() -> tuple[Console, io.StringIO]:
    console, out = Console(), io.StringIO()
    console.file, console.width = out, 80
    return console, out


async def read_record(connection: Connection, key: BudgetKey = KEY, at_most: int | None = 20) -> BudgetRecord:
    record = await read_budget_record(connection, key, at_most)
    assert record
    return record


async def test_invalid_budgets_are_listed_with_what_is_wrong(connection: Connection, position: Position) -> None:
    locks = [arrive(number, lock(1, UNKNOWN_CODE, key=key)) for number, key in enumerate(KEYS[:5])]
    await store_batch(connection, position, [*locks, arrive(5, lock(key=KEYS[5]))], TOPICS)
    first = await read_budget_page(connection, "INVALID", BEFORE_ALL, 3)
    assert ([budget.key for budget in first.budgets], first.total, first.more) == (KEYS[:3], 5, True)
    second = await read_budget_page(connection, "INVALID", first.budgets[-1].key, 3)
    assert ([budget.key for budget in second.budgets], second.total, second.more) == (KEYS[3:5], 5, False)
    console, out = print_to_text()
    print_budget_page(first, console)
    assert "[/b]99-999" in out.getvalue()
    assert "--after 4211/3/55210" in out.getvalue()
    assert "5 budgets are INVALID" in out.getvalue()
    written = json.loads(json.dumps(write_budget_page(first)))
    assert written["budgets"][0]["errors"][0]["code"]
    [pending] = (await read_budget_page(connection, "PENDING_APPROVAL", BEFORE_ALL, 3)).budgets
    assert pending.key == KEYS[5]


async def test_budgets_on_hold_are_listed_also_before_their_next_message(
    connection: Connection, database_url: str, position: Position
) -> None:
    await store_batch(connection, position, [arrive(0, lock(key=KEYS[0])), arrive(1, lock(key=KEYS[1]))], TOPICS)
    async with open_recovery(database_url) as recovery:
        await recovery.hold({KEYS[1]: "odd"}, {KEYS[1]: 0})
        await recovery.keep()
    page = await read_budget_page(connection, "ON_HOLD", BEFORE_ALL, 10)
    assert ([budget.key for budget in page.budgets], page.total) == ([KEYS[1]], 1)
    record = await read_record(connection, KEYS[1])
    console, out = print_to_text()
    print_budget(record, {}, console)
    assert "on hold from its next message on: odd" in out.getvalue()
    assert write_budget(record, {})["on_hold"] is True


async def test_a_budget_says_what_to_search_in_spectrum(connection: Connection, position: Position) -> None:
    answer = acknowledge("success", erp_reference="BE-7/[x]")
    arrivals = [arrive(0, lock()), arrive(1, accept()), arrive(2, answer)]
    await store_batch(connection, position, arrivals, TOPICS)
    record = await read_record(connection)
    assert write_budget(record, {})["spectrum"] == {
        "company_code": "001",
        "job_number": "J90071",
        "currency": "USD",
        "export_id": str(name_export(KEY, 1, 1)),
        "change_reference": "B0000001",
        "version": 1,
        "attempt": 1,
        "erp_reference": "BE-7/[x]",
    }
    console, out = print_to_text()
    print_budget(record, {}, console)
    for shown in ("company 001, job J90071", "B0000001", str(name_export(KEY, 1, 1)), "BE-7/[x]", "accepted by ann"):
        assert shown in out.getvalue()
    place = arrive(1, accept()).original.place
    assert await read_verdict(connection, KEY, "m1", place) == ("applied", record.history[1].detail)
    assert await read_verdict(connection, KEY, "m99", place) is None
    assert await read_verdict(connection, KEY, "m1", place._replace(offset=99)) is None


async def test_an_invalid_budget_says_why(connection: Connection, position: Position) -> None:
    await store_batch(connection, position, [arrive(0, lock(1, UNKNOWN_CODE))], TOPICS)
    console, out = print_to_text()
    print_budget(await read_record(connection), {}, console)
    assert "error: line 1" in out.getvalue()
    assert "[/b]99-999" in out.getvalue()


async def test_a_long_history_is_cut_with_a_count(connection: Connection, position: Position) -> None:
    arrivals = [arrive(number, lock(number + 1)) for number in range(30)]
    await store_batch(connection, position, arrivals, TOPICS)
    cut = await read_record(connection)
    assert [row.budget_version for row in cut.history] == list(range(11, 31))
    assert (cut.history_total, len(cut.sent), cut.sent_total > 20) == (30, 20, True)
    console, out = print_to_text()
    print_budget(cut, {}, console)
    assert "Messages received (the latest 20 of 30; --all prints all)" in out.getvalue()
    whole = await read_record(connection, at_most=None)
    assert len(whole.history) == 30
    assert whole.sent[-20:] == cut.sent


async def test_dead_letters_are_listed_counted_and_found_by_budget(connection: Connection, position: Position) -> None:
    named = json.dumps(lock().model_dump(mode="json") | {"total_amount": "[/b]\x1b[2J much"}).encode()
    changed = lock(1, STEEL | {"original_amount": "1.00"})
    arrivals = [
        arrive(0, b"\xff\x00"),
        arrive(1, named),
        arrive(2, lock()),
        arrive(3, changed),
        arrive(4, b'{"company_id": 4211, "project_id": 90071, "budget_id": 552101}'),
    ]
    await store_batch(connection, position, arrivals, TOPICS)
    topic = TOPICS.dead_letters
    everything = await list_dead_letters(connection, topic, DeadLetterFilter(), None)
    assert [one.inbox[1] for one in everything] == [4, 3, 1, 0]
    assert len(await list_dead_letters(connection, topic, DeadLetterFilter(), 2)) == 2
    counts = await count_dead_letters(connection, topic, DeadLetterFilter())
    assert {count.reason: count.letters for count in counts} == {"conflicting_content": 1, "unreadable": 3}
    of_budget = await list_dead_letters(connection, topic, DeadLetterFilter(budget=KEY), None)
    assert [(one.inbox[1], one.reason) for one in of_budget] == [(3, "conflicting_content"), (1, "unreadable")]
    only = await list_dead_letters(connection, topic, DeadLetterFilter("conflicting_content", budget=KEY), None)
    assert [one.inbox[1] for one in only] == [3]
    console, out = print_to_text()
    print_dead_letters(everything[:2], counts, console)
    assert str(everything[0].id) in out.getvalue()
    assert "4 in all; the latest 2 are listed" in out.getvalue()
    assert write_dead_letters(everything, counts)["total"] == 4
    letter = await read_dead_letter(connection, topic, everything[2].id, everything[2].inbox)
    assert letter
    assert letter.value == named
    assert await find_dead_letter(connection, topic, everything[2].id) == everything[2].inbox
    assert await find_dead_letter(connection, topic, UUID(int=0)) is None
    console, out = print_to_text()
    print_dead_letter(letter, console, full=True)
    assert "[/b]" in out.getvalue()
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize("value", [b"x" * 5000, b"\xff" * 5000])
def test_a_long_dead_letter_is_shown_whole_if_that_is_asked_for(value: bytes) -> None:
    letter = set_aside("x.procore.budgets")._replace(value=value)
    shown = {}
    for full in (False, True):
        console, out = print_to_text()
        print_dead_letter(letter, console, full=full)
        shown[full] = out.getvalue().translate({10: None, 32: None})
    assert value.decode("latin-1") in shown[True] or value.hex() in shown[True]
    assert "and1000more" in shown[False]
    assert len(shown[False]) < len(shown[True])


def set_aside(topic: str, reason: str = "unreadable", headers: Headers = ()) -> StoredDeadLetter:
    at = datetime.fromtimestamp(AT / 1000, UTC)
    listed = ListedDeadLetter(UUID(int=1), at, reason, "", None, None, Place(topic, 0, 0), (0, 0))
    return StoredDeadLetter(listed, None, b"odd", headers)


def test_only_whole_records_go_back_and_only_to_source_topics() -> None:
    sources = TOPICS.sources
    assert find_obstacle(set_aside("x.procore.budgets"), sources) is None
    for forged in ("x.spectrum.exports", "procore.budgets", "x.bridge.inbox", ""):
        assert "is not a source topic" in (find_obstacle(set_aside(forged), sources) or "")
    assert "under a new id" in (find_obstacle(set_aside("x.procore.budgets", "unknown_export"), sources) or "")
    cut = set_aside("x.procore.budgets", headers=(("bridge_unreadable", b"cut"),))
    assert "could not be carried whole" in (find_obstacle(cut, sources) or "")
