"""The reconciliation of readings: each page is what came in, and there is each page once."""

from collections.abc import Callable

import pytest

from contracts.cloudevents.writing import write_attributes
from contracts.erp_snapshot import ErpSnapshot
from handlers.budget import Status
from handlers.readings import Snapshot
from outbox.audit import StoredPage
from tests.unit.builders import CONCRETE, STEEL, Scenario, bring_to, read_line
from tests.unit.test_snapshot_pages import write_pages
from worker.reconcile.readings import find_wrong_pages


def read_two_pages() -> tuple[Snapshot, list[StoredPage]]:
    scenario: Scenario = bring_to(Status.SYNCED)
    base = scenario.budget.base
    assert base
    pages = write_pages(base, (read_line(STEEL),), (read_line(CONCRETE),))
    scenario.send(*pages)
    readings = scenario.budget.readings
    assert readings
    assert readings.last
    return readings.last, [store(number, page) for number, page in enumerate(pages, 3)]


def store(number: int, page: ErpSnapshot, verdict: str = "applied") -> StoredPage:
    headers = write_attributes(page.type, "test", f"m{number}")
    return StoredPage("test", f"m{number}", verdict, headers, page.model_dump_json().encode())


def find(
    change: Callable[[Snapshot], Snapshot] = lambda reading: reading,
    change_pages: Callable[[list[StoredPage]], list[StoredPage]] = lambda pages: pages,
) -> list[str]:
    reading, pages = read_two_pages()
    return list(find_wrong_pages(change(reading), change_pages(pages)))


def spoil_line(reading: Snapshot) -> Snapshot:
    first, second = reading.pages
    [line] = first.lines
    spoilt = first._replace(lines=(line._replace(bridge_revision=(line.bridge_revision or 0) + 1),))
    return reading._replace(pages=(spoilt, second))


def test_a_reading_is_what_came_in() -> None:
    assert find() == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (spoil_line, ["page 1 is not what came in"]),
        (
            lambda reading: reading._replace(pages=reading.pages[:1]),
            ["it does not have each of its 2 pages once", "its lines do not add up to what it says of all of them"],
        ),
        (
            lambda reading: reading._replace(header=reading.header._replace(job_number="J7")),
            ["page 1 is not what came in", "page 2 is not what came in"],
        ),
    ],
)
def test_a_reading_that_is_not_what_came_in(change: Callable[[Snapshot], Snapshot], found: list[str]) -> None:
    assert find(change) == found


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda pages: pages[:1], ["page 2 came in no message of its budget"]),
        (lambda pages: [pages[0], pages[1]._replace(verdict="stale")], ["page 2 is stale, not applied"]),
        (lambda pages: [pages[0], pages[1]._replace(body=b"{}")], ["page 2 is not what came in"]),
    ],
)
def test_pages_that_are_not_what_was_read(
    change: Callable[[list[StoredPage]], list[StoredPage]], found: list[str]
) -> None:
    assert find(change_pages=change) == found
