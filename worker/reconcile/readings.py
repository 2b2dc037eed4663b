"""Checks every stored reading against the messages that its pages came in, without the code that collected them."""

from collections.abc import Iterator, Sequence

from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.erp_snapshot import ErpSnapshot
from contracts.records import Place, Record
from contracts.topics import SOURCES
from handlers.readings import ReadPage, Snapshot
from outbox.audit import StoredPage
from worker.reconcile.findings import DifferenceKind
from worker.reconcile.reconciliation import Reconciliation

_TOPIC = next(name for name, models in SOURCES.items() if ErpSnapshot in models)


async def check_readings(reconciliation: Reconciliation) -> None:
    """Find readings whose pages never came in, or came in with other lines."""
    findings, snapshot = reconciliation.findings, reconciliation.snapshot
    claim = findings.claim("readings", "every reading answers to its pages")
    async for stored in snapshot.read_budgets():
        last = stored.budget.last_reading if stored.budget else None
        if last is None:
            continue
        claim.checked += 1
        found = await snapshot.read_pages(stored.key, [(page.source, page.id) for page in last.pages])
        if any(page.body is None for page in found):
            claim.notes["readings with pruned pages"] += 1
            continue
        for what in find_wrong_pages(last, found):
            described = f"reading {last.header.snapshot_id}: {what}"
            findings.differ(claim, DifferenceKind.ALTERED, described, stored.key)


def find_wrong_pages(reading: Snapshot, found: Sequence[StoredPage]) -> Iterator[str]:
    """Find what of a reading its pages do not say.

    Args:
        reading: as it is stored.
        found: what history has of its pages; none of them is pruned.

    Yields:
        What is wrong, as clauses.
    """
    header = reading.header
    if [page.number for page in reading.pages] != list(range(1, header.pages + 1)):
        yield f"it does not have each of its {header.pages} pages once"
    messages = {(one.source, one.id): one for one in found}
    for page in reading.pages:
        message = messages.get((page.source, page.id))
        if message is None:
            yield f"page {page.number} came in no message of its budget"
        elif message.verdict != "applied":
            yield f"page {page.number} is {message.verdict}, not applied"
        elif not _says(_read(message), reading, page):
            yield f"page {page.number} is not what came in"
    lines = [line for page in reading.pages for line in page.lines]
    if (len(lines), sum(line.current for line in lines)) != (header.line_count, header.total_current):
        yield "its lines do not add up to what it says of all of them"


def _read(stored: StoredPage) -> ErpSnapshot | None:
    record = Record(Place(_TOPIC, 0, 0), 0, None, stored.body, stored.headers)
    message = read_message(_TOPIC, record)
    return message.body if isinstance(message, Message) and isinstance(message.body, ErpSnapshot) else None


def _says(came: ErpSnapshot | None, reading: Snapshot, page: ReadPage) -> bool:
    """Return whether a page came in as it is stored: its place in the snapshot, and each figure of each line."""
    if came is None:
        return False
    header = reading.header
    where = (came.snapshot_id, came.page, came.pages, came.company_code, came.job_number, came.read_to)
    stored = (header.snapshot_id, page.number, header.pages, header.company_code, header.job_number, header.read_to)
    lines = [
        (
            *(line.phase_code, line.cost_type, line.description, line.status),
            *(line.original_estimate_cost, line.bridge_revision, line.other_revision, line.current_estimate_cost),
            *(line.job_to_date_cost, line.price_method_code or None),
        )
        for line in came.lines
    ]
    return where == stored and lines == [tuple(line) for line in page.lines]
