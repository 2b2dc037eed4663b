"""The life of an import: what was read is offered, or it ends."""

from typing import Final
from uuid import UUID

from contracts.imports import MOST_ERRORS, ImportCause, ImportEnded, ImportNotice
from contracts.inbound import DeadlinePassed
from handlers.adoption import adopt_lines, find_adopted
from handlers.budget import Budget, Target
from handlers.decision import Outcome, Situation, Step, Verdict
from handlers.ids import name_request
from handlers.import_offer import Offered, check_header, check_offer, find_notices, list_offered, write_offer
from handlers.import_state import OpenImport
from handlers.readings import LineKey, Readings, Snapshot
from handlers.snapshot_pages import drop_collecting

NO_SNAPSHOT: Final = ImportNotice(
    phase_code=None,
    spectrum_cost_type=None,
    code="no_snapshot",
    message="Spectrum's side has not answered the requests for a snapshot in time.",
)


def take_import_reading(step: Step, reading: Snapshot, situation: Situation) -> Outcome | None:
    """Offer a reading that answers the import which was asked for (rows I3 to I5); ``None`` if it does not."""
    one = step.budget.open_import
    if one is None or one.is_ready or not _names_import(step.budget, one, reading.header.request_id):
        return None
    budget = step.budget._replace(readings=Readings(last=reading)).change_read_back(request=None)
    step = step._replace(budget=budget)
    errors = tuple(check_header(reading.header))
    offered = () if errors else list_last_offered(budget, one)
    errors = errors or tuple(check_offer(offered, one.mode, situation.rules))
    if errors:
        codes = ", ".join(dict.fromkeys(error.code for error in errors))
        step = end_import(step, "refused", situation, errors)
        return Outcome(step, Verdict.APPLIED, f"the import is refused: {codes}")
    if one.mode == "link" or all(line.change == "same" for line in offered):
        step = take_offer(step, one, offered, {line.key: None for line in offered}, situation)
        return Outcome(end_import(step, "applied", situation), Verdict.APPLIED, f"{len(offered)} lines were imported")
    identity = (name_request(budget.key, one.first_request), one.currency)
    offer = write_offer(budget.key, identity, reading, offered, situation.rules)
    ready = one._replace(is_ready=True, due_at=situation.at + situation.rules.expiry)
    step = step.change(budget.change_imports(under_way=ready), situation.at, offer)
    return Outcome(step, Verdict.APPLIED, f"{len(offered)} lines are offered to the project side")


def list_last_offered(budget: Budget, one: OpenImport) -> tuple[Offered, ...]:
    """List what the last reading offers to the import under way: nothing but that reading decides about it."""
    reading = budget.last_reading
    if reading is None:
        return ()
    return list_offered(reading, find_adopted(budget, _find_target(reading, one)))


def take_offer(
    step: Step, one: OpenImport, offered: tuple[Offered, ...], taken: dict[LineKey, int | None], situation: Situation
) -> Step:
    """Adopt those of the offered lines that were taken, each with the item id that was named, if any."""
    budget = step.budget
    reading = budget.last_reading
    if reading is None or taken.keys().isdisjoint(line.key for line in offered):
        return step
    target = _find_target(reading, one)
    identity = (name_request(budget.key, one.first_request), target)
    adopted = adopt_lines(find_adopted(budget, target), offered, taken, identity, situation.rules)
    return step._replace(budget=budget.change_imports(adopted=adopted))


def end_import(step: Step, cause: ImportCause, situation: Situation, errors: tuple[ImportNotice, ...] = ()) -> Step:
    """End the import under way, if there is one: report it to whoever asked, and stop asking the ERP side."""
    budget = step.budget
    imports, one = budget.imports, budget.open_import
    if imports is None or one is None:
        return step
    reading = budget.last_reading
    was_offered = one.is_ready or cause == "applied"
    ended = ImportEnded(
        **budget.key._asdict(),
        import_id=name_request(budget.key, one.first_request),
        cause=cause,
        errors=errors[:MOST_ERRORS],
        notices=find_notices(reading) if was_offered and reading else (),
        notify=(one.requested_by,),
    )
    collecting = budget.readings.collecting if budget.readings else None
    if collecting and _names_import(budget, one, collecting.header.request_id):
        step = drop_collecting(step, collecting, "the import that it was for has ended")
    budget = step.budget.change_imports(under_way=None, ended=(*imports.ended, one.first_request))
    return step.change(budget.change_read_back(request=None), situation.at, ended)


def expire_import(step: Step, passed: DeadlinePassed, situation: Situation) -> Outcome:
    """Decide that an import has waited too long, for the ERP side or for the project side (row I10)."""
    one = step.budget.open_import
    if one is None or one.due_at > passed.due_at:
        return Outcome(step, Verdict.IGNORED, "no import is due")
    waited_for = "the project side has not answered" if one.is_ready else "Spectrum was not read"
    return Outcome(end_import(step, "expired", situation), Verdict.APPLIED, f"the import has expired: {waited_for}")


def _find_target(reading: Snapshot, one: OpenImport) -> Target:
    return Target(reading.header.company_code, reading.header.job_number, one.currency)


def _names_import(budget: Budget, one: OpenImport, request_id: UUID | None) -> bool:
    """Check whether a snapshot names one of the import's requests: all since its first one, as long as it is open."""
    numbers = range(one.first_request, budget.next_request)
    return any(request_id == name_request(budget.key, number) for number in numbers)
