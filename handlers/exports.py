"""Sends an accepted version to Spectrum, complete and in absolute figures; every attempt is the same."""

from datetime import date

from contracts.cloudevents.message import Message
from contracts.drift import DriftDecision
from contracts.fields import write_cents
from contracts.inbound import ApprovalDecision
from contracts.outbound import SpectrumExport, SpectrumResync
from contracts.signature.event import SignedEvent
from handlers.adoption import find_adopted
from handlers.budget import Budget, Export, ExportTry, Proposal, Status, Version
from handlers.decision import Situation, Step
from handlers.drift import close_drift
from handlers.ids import name_export, write_reference
from handlers.references import choose_reference
from handlers.spectrum_lines import compare_with_base, complete_lines, ends_with_known_lines, record_sent


def start_export(
    step: Step,
    message: Message,
    decision: ApprovalDecision,
    version: Version,
    proposal: Proposal,
    situation: Situation,
) -> Step:
    """Export an accepted version: a first export, or a re-sync where Spectrum took an earlier one (row 4).

    Args:
        step: the budget so far.
        message: what the acceptance came in.
        decision: the acceptance.
        version: the current one.
        proposal: what was accepted of it.
        situation: what else deciding sees.
    """
    budget = step.budget
    number = len(budget.tries) + 1
    export = Export(
        id=name_export(budget.key, version.number, number),
        number=number,
        reference=choose_reference(budget, situation),
        version=version.number,
        attempt=1,
        target=proposal.target,
        content_hash=version.content_hash or "",
        total=proposal.total,
        approved_by=decision.decided_by,
        approved_at=decision.decided_at,
        lines=complete_lines(budget, proposal),
        effective_date=decision.effective_date,
        follows_base=ends_with_known_lines(budget, proposal.target),
        passes_over=_may_pass_over(budget),
        approval=find_signed(message),
    )
    budget = budget._replace(
        version=version._replace(proposal=None),
        tries=(*budget.tries, ExportTry(version.number, 1)),
        last_reference=export.reference,
        sent=record_sent(budget, export),
    )
    return _send(step, budget, export, situation)


def restate_export(
    step: Step, message: Message, decision: DriftDecision, version: Version, base: Export, situation: Situation
) -> Step:
    """Send the figures of a synced version once more, as an export of their own, because Spectrum differs (row D1).

    Args:
        step: the budget so far.
        message: what the decision came in.
        decision: the one that asks for it.
        version: the current one, whose content is that of the base.
        base: the last export, which Spectrum has acknowledged with success.
        situation: what else deciding sees.
    """
    budget = step.budget
    number = len(budget.tries) + 1
    lines = tuple(line for line in base.lines if not line.gone)
    export = base._replace(
        id=name_export(budget.key, version.number, number),
        number=number,
        reference=choose_reference(budget, situation),
        version=version.number,
        attempt=1,
        lines=complete_lines(budget, Proposal(base.target, base.total, lines)),
        effective_date=decision.effective_date,
        follows_base=True,
        restatement=base.restatement + 1 if base.version == version.number else 1,
        passes_over=False,
        drift_decision=find_signed(message),
    )
    budget = budget._replace(
        tries=(*budget.tries, ExportTry(version.number, 1)),
        last_reference=export.reference,
        sent=record_sent(budget, export),
    )
    return _send(step, budget, export, situation)


def resend_export(step: Step, export: Export, effective_date: date | None, situation: Situation) -> Step:
    """Send the last export again with the next attempt (row 11).

    Args:
        step: the budget so far.
        export: its last one, as it was sent last.
        effective_date: a new one; ``None`` leaves the one given before.
        situation: what else deciding sees.
    """
    effective_date = effective_date or export.effective_date
    again = export._replace(attempt=export.attempt + 1, effective_date=effective_date)
    tries = (*step.budget.tries[:-1], ExportTry(again.version, again.attempt))
    return _send(step, step.budget._replace(tries=tries), again, situation)


def find_signed(message: Message) -> SignedEvent | None:
    """Find the signed message as an export carries it; ``None`` where it did not have to be signed."""
    return message.proof.event if message.proof else None


def _may_pass_over(budget: Budget) -> bool:
    """Check that Spectrum is not known to differ from the base, in lines that were kept or not, or suspected to."""
    if budget.unanswered and not budget.unanswered.passes_over:
        # It differed then, and perhaps nothing of that export was written.
        return False
    known = budget.read_back
    if known is None or known.drift is None:
        return True
    # What an earlier reading found may still be so where the last one has not seen it.
    return not known.drift.lines and not known.kept and known.drift.reason in {None, "export_sent"}


def _send(step: Step, budget: Budget, export: Export, situation: Situation) -> Step:
    exporting = budget._replace(
        status=Status.EXPORTING,
        unanswered=export,
        due_at=situation.at + situation.rules.acknowledgement_deadline,
        overdue=False,
        failed_lines=(),
        partly_applied=False,
    )
    # What was found before says nothing about what this export leaves.
    exporting, drift = close_drift(exporting, "export_sent")
    return step.change(exporting, situation.at, _write_export(exporting, export), *drift)


def _write_export(budget: Budget, export: Export) -> SpectrumExport:
    # Neither the base nor the imported lines can change before this export is answered, so every attempt has the same
    # differences.
    base = budget.base
    adopted = find_adopted(budget, export.target)
    kind = SpectrumResync if base else SpectrumExport
    return kind(
        **budget.key._asdict(),
        budget_version=export.version,
        export_id=export.id,
        attempt=export.attempt,
        export_number=export.number,
        base_export_id=base.id if base and export.passes_over else None,
        base_version=base.version if base else None,
        base_import_id=adopted.import_id if adopted else None,
        restatement=export.restatement,
        change_reference=write_reference(export.reference),
        content_hash=export.content_hash,
        company_code=export.target.company_code,
        job_number=export.target.job_number,
        currency=export.target.currency,
        approved_by=export.approver.by,
        approved_at=export.approver.at,
        effective_date=export.effective_date,
        line_count=len(export.lines),
        total_amount=write_cents(export.total),
        approval=export.approval,
        drift_decision=export.drift_decision,
        lines=compare_with_base(export.lines, base, adopted, follows_base=export.follows_base),
    )
