"""Collects the pages of a snapshot, and finds where they contradict one another or themselves."""

import hashlib
from collections.abc import Iterator

from contracts.cloudevents.message import Message
from contracts.erp_snapshot import ErpSnapshot, SnapshotLine
from contracts.json_text import write_json
from handlers.decision import Resolved, Step, Verdict
from handlers.readings import BegunExport, Readings, ReadLine, ReadPage, Snapshot, SnapshotHeader


def read_page(message: Message, page: ErpSnapshot, header: SnapshotHeader) -> ReadPage:
    """Read a page's own part: its lines, and the message that it came in."""
    lines = tuple(map(_read_line, page.lines))
    return ReadPage(page.page, message.source, message.id, digest_page(header, page.page, lines), lines)


def digest_page(header: SnapshotHeader, number: int, lines: tuple[ReadLine, ...]) -> str:
    """Digest everything that a page says, by value; two copies of a page with the same digest say the same."""
    return hashlib.sha256(write_json([*header, number, lines])).hexdigest()


def read_header(page: ErpSnapshot) -> SnapshotHeader:
    """Read what every page of its snapshot must say."""
    begun = page.last_begun
    return SnapshotHeader(
        page.snapshot_id,
        page.request_id,
        page.pages,
        page.company_code,
        page.job_number,
        page.job_status,
        page.read_from,
        page.read_to,
        page.depth,
        page.complete,
        BegunExport(begun.export_id, begun.attempt, begun.whole) if begun else None,
        page.unposted,
        page.line_count,
        page.total_original,
        page.total_current,
    )


def add_page(snapshot: Snapshot | None, header: SnapshotHeader, page: ReadPage) -> Snapshot:
    """Add a page to the snapshot that it belongs to, or begin a snapshot with it."""
    others = snapshot.pages if snapshot else ()
    return Snapshot(snapshot.header if snapshot else header, tuple(sorted((*others, page))))


def find_mismatches(snapshot: Snapshot, header: SnapshotHeader) -> Iterator[str]:
    """Find what is wrong with a snapshot once a page was added, as clauses.

    Args:
        snapshot: as far as it was collected.
        header: what its latest page says.
    """
    if header != snapshot.header:
        yield "its pages differ in what all of them must say"
    count = sum(len(page.lines) for page in snapshot.pages)
    if count != len(snapshot.index_lines()):
        yield "a phase and cost type comes twice"
    if not snapshot.is_whole:
        return
    head = snapshot.header
    if count != head.line_count:
        yield f"it has {count} lines, and line_count is {head.line_count}"
    lines = [line for page in snapshot.pages for line in page.lines]
    if sum(line.current for line in lines) != head.total_current:
        yield "total_current is not the sum of its lines"
    if head.total_original is not None and sum(line.original or 0 for line in lines) != head.total_original:
        yield "total_original is not the sum of its lines"


def drop_collecting(step: Step, collecting: Snapshot, why: str) -> Step:
    """Drop the snapshot that is being collected; its pages become superseded."""
    readings = step.budget.readings or Readings()
    step = step._replace(budget=step.budget._replace(readings=readings._replace(collecting=None)))
    return resolve_pages(step, collecting, Verdict.SUPERSEDED, why)


def resolve_pages(step: Step, snapshot: Snapshot, verdict: Verdict, detail: str) -> Step:
    """Give the pages of a snapshot that wait for others their verdict."""
    for page in snapshot.pages:
        step = step.resolve(Resolved(ErpSnapshot.type, page.source, page.id, verdict, detail))
    return step


def _read_line(line: SnapshotLine) -> ReadLine:
    return ReadLine(
        line.phase_code,
        line.cost_type,
        line.description,
        line.status,
        line.original_estimate_cost,
        line.bridge_revision,
        line.other_revision,
        line.current_estimate_cost,
        line.job_to_date_cost,
        line.price_method_code or None,
    )
