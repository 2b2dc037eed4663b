"""A page of what Spectrum holds comes in: it is collected with the others of its snapshot (rows R1 to R7)."""

from uuid import UUID

from contracts.cloudevents.message import Message
from contracts.erp_snapshot import ErpSnapshot
from handlers.budget import Budget
from handlers.decision import DeadLetter, Outcome, Situation, Step, Verdict
from handlers.read_back import OpenRequest
from handlers.reading import conclude_reading
from handlers.readings import Readings, Snapshot
from handlers.rules import Rules
from handlers.snapshot_pages import (
    add_page,
    drop_collecting,
    find_mismatches,
    read_header,
    read_page,
    resolve_pages,
)
from handlers.snapshot_requests import ask_again


def take_page(step: Step, message: Message, page: ErpSnapshot, situation: Situation) -> Outcome:
    """Decide on a page of a snapshot."""
    readings = step.budget.readings or Readings()
    if (page.company_code, page.job_number) != _find_job(step.budget, situation.rules):
        detail = f"job {page.job_number} of company {page.company_code} is not the job of this budget"
        return _set_aside(step, DeadLetter("unknown_job", detail))
    header = read_header(page)
    own = read_page(message, page, header)
    if again := _find_again(readings, page):
        if again == own.digest:
            return Outcome(step, Verdict.DUPLICATE, f"page {page.page} of this snapshot came before")
        detail = f"page {page.page} of snapshot {page.snapshot_id} came before, with other content"
        return _set_aside(step, DeadLetter("conflicting_content", detail))
    if why := _find_newer(readings, page):
        return Outcome(step, Verdict.STALE, why)
    collecting = readings.collecting
    if collecting and collecting.header.snapshot_id != page.snapshot_id:
        step = drop_collecting(step, collecting, f"a page of the later snapshot {page.snapshot_id} came")
        collecting = None
    return _collect(step, page, add_page(collecting, header, own), collecting, situation)


def _collect(
    step: Step, page: ErpSnapshot, snapshot: Snapshot, collecting: Snapshot | None, situation: Situation
) -> Outcome:
    """Keep a page with the others of its snapshot, unless it does not fit or was the last one (rows R5 to R7)."""
    if wrong := "; ".join(find_mismatches(snapshot, read_header(page))):
        if collecting:
            step = drop_collecting(step, collecting, f"its page {page.page} does not fit")
        detail = f"snapshot {page.snapshot_id}: {wrong}"
        outcome = _set_aside(step, DeadLetter("snapshot_mismatch", detail))
        return _ask_again_if_asked(outcome, step.budget.open_request, page.request_id, situation)
    if not snapshot.is_whole:
        readings = (step.budget.readings or Readings())._replace(collecting=snapshot)
        step = step._replace(budget=step.budget._replace(readings=readings))
        detail = f"page {page.page} of {page.pages}; {page.pages - len(snapshot.pages)} are missing"
        return Outcome(step, Verdict.WAITING, detail)
    return _conclude(step, snapshot, collecting, situation)


def _conclude(step: Step, reading: Snapshot, collecting: Snapshot | None, situation: Situation) -> Outcome:
    """Give a whole snapshot, which is a reading, to whoever it is for; all of its pages get one verdict (row R7)."""
    budget, request = step.budget, step.budget.open_request
    if budget.readings:
        budget = budget._replace(readings=budget.readings._replace(collecting=None))
    if request and request.id == reading.header.request_id:
        budget = budget.change_read_back(request=None)
    outcome = conclude_reading(step._replace(budget=budget), reading, situation)
    if outcome.verdict is Verdict.DEAD_LETTERED:
        outcome = _ask_again_if_asked(outcome, request, reading.header.request_id, situation)
    if collecting is None:
        return outcome
    verdict, detail = outcome.verdict, outcome.detail
    if verdict is Verdict.DEAD_LETTERED:
        verdict, detail = Verdict.SUPERSEDED, f"its last page became a dead letter: {detail}"
    return outcome._replace(step=resolve_pages(outcome.step, collecting, verdict, detail))


def _ask_again_if_asked(
    outcome: Outcome, request: OpenRequest | None, request_id: UUID | None, situation: Situation
) -> Outcome:
    """Ask again if what was set aside names the request that was open when it came."""
    if request is None or request.id != request_id:
        return outcome
    step, what = ask_again(outcome.step, request, situation)
    return outcome._replace(step=step, detail=f"{outcome.detail}; {what}")


def _find_job(budget: Budget, rules: Rules) -> tuple[str, str] | None:
    held = budget.spectrum_target or rules.jobs.get(budget.key.project)
    return (held.company_code, held.job_number) if held else None


def _find_again(readings: Readings, page: ErpSnapshot) -> str | None:
    """Find the digest of this page, if it came before and its snapshot is the last reading or is being collected."""
    for known in (readings.collecting, readings.last):
        if known and known.header.snapshot_id == page.snapshot_id and (found := known.find_page(page.page)):
            return found.digest
    return None


def _find_newer(readings: Readings, page: ErpSnapshot) -> str | None:
    """Find what is as new as this page or newer, so that it comes too late (row R3)."""
    last, collecting = readings.last, readings.collecting
    if last and page.read_to <= last.header.read_to:
        return f"the last reading, {last.header.snapshot_id}, is not older"
    if collecting and collecting.header.snapshot_id != page.snapshot_id and page.read_to <= collecting.header.read_to:
        return f"snapshot {collecting.header.snapshot_id}, whose pages are coming in, is not older"
    return None


def _set_aside(step: Step, letter: DeadLetter) -> Outcome:
    return Outcome(step.send(letter), Verdict.DEAD_LETTERED, letter.detail)
