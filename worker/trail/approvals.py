"""Whether an export answers to the acceptance that it carries: proven, of this budget, with these lines."""

from collections import Counter
from operator import attrgetter
from typing import Any, TypeVar

from pydantic import ValidationError

from contracts.drift import DriftDecision
from contracts.export_lines import Change
from contracts.fields import Cents, PriceMethod, Value
from contracts.inbound import ApprovalDecision
from contracts.json_text import parse_unique_json
from contracts.signature.verifying import Unverified, verify_event
from handlers.budget import SpectrumLine, Target
from handlers.spectrum_lines import hash_content
from worker.trail.keys import Signers

_Decision = TypeVar("_Decision", ApprovalDecision, DriftDecision)


class _Line(Value):
    phase_code: str
    cost_type: str
    description: str
    original_estimate_cost: Cents
    revision_amount: Cents
    price_method_code: PriceMethod
    change: Change
    original_estimate_quantity: Cents | None = None
    unit_of_measure: str | None = None


class _Export(Value):
    budget_version: int
    restatement: int
    company_code: str
    job_number: str
    currency: str
    approved_by: str
    approval: Any
    drift_decision: Any = None
    lines: tuple[_Line, ...]


class NotApprovedError(Exception):
    """An export does not answer to the acceptance that it carries; the message says why."""


def list_approving_keys(value: bytes, budget: str | None, signers: Signers) -> list[str]:
    """List the keys that have signed what an export rests on; none where it carries no acceptance.

    Args:
        value: of the record of the export.
        budget: whose export it is said to be.
        signers: the verifier's own.

    Raises:
        NotApprovedError: it carries an acceptance, and does not answer to it.
    """
    try:
        export = _Export.model_validate(parse_unique_json(value))
    except ValueError:
        raise NotApprovedError("its value is no export, though it is sent as one") from None
    if export.approval is None:
        return []
    accepted, kid = _verify(export.approval, "approval", ApprovalDecision, budget, signers)
    if accepted.decision != "accept":
        raise NotApprovedError("its approval is signed, but it is no acceptance")
    people, kids = {accepted.decided_by}, [kid]
    if export.restatement:
        asked, kid = _verify(export.drift_decision, "drift_decision", DriftDecision, budget, signers)
        if asked.decision != "restate":
            raise NotApprovedError("its drift_decision is signed, but asks for no restatement")
        people.add(asked.decided_by)
        kids.append(kid)
    if differing := _find_difference(export, accepted, people):
        raise NotApprovedError(f"its approval is of another {differing}")
    _check_lines(export)
    return kids


def _verify(
    event: object, name: str, model: type[_Decision], budget: str | None, signers: Signers
) -> tuple[_Decision, str]:
    found = verify_event(event, signers.keys)
    if isinstance(found, Unverified):
        raise NotApprovedError(f"its {name} is not proven: {found.detail}")
    try:
        decision = model.model_validate(parse_unique_json(found.data))
    except ValidationError:
        decision = None
    if decision is None or found.attributes.get("type") != model.type:
        raise NotApprovedError(f"its {name} is signed, but is no {model.type}")
    if str(decision.key) != budget:
        raise NotApprovedError(f"its {name} is of another budget, {decision.key}")
    if why := signers.explain_no_signer(found.kid, decision, found.signed_at):
        raise NotApprovedError(f"its {name} is signed with key {found.kid}, which may not: {why}")
    return decision, found.kid


def _find_difference(export: _Export, accepted: ApprovalDecision, people: set[str]) -> str | None:
    is_earlier = accepted.budget_version < export.budget_version
    if accepted.budget_version != export.budget_version and not (export.restatement and is_earlier):
        return f"version, {accepted.budget_version}"
    if export.approved_by not in people:
        return f"person than {export.approved_by}, who is said to have approved it"
    if accepted.content_hash != _hash_lines(export):
        return "content: the lines that were sent are not those that were accepted"
    return None


def _check_lines(export: _Export) -> None:
    """Check what the hash does not cover: lines that are set to zero, and whether a line is there twice."""
    count = Counter((line.phase_code, line.cost_type) for line in export.lines)
    for line in export.lines:
        where = f"line {line.phase_code} {line.cost_type}"
        if count[line.phase_code, line.cost_type] > 1:
            raise NotApprovedError(f"{where} is there twice")
        if line.change == "zero" and (_count(line.original_estimate_cost) or _count(line.revision_amount)):
            raise NotApprovedError(f"{where} is a zero with an amount, which nobody has accepted")


def _hash_lines(export: _Export) -> str:
    lines = [
        SpectrumLine(
            line.phase_code,
            line.cost_type,
            None,
            line.description,
            _count(line.original_estimate_cost),
            _count(line.revision_amount),
            line.price_method_code,
            None if line.original_estimate_quantity is None else _count(line.original_estimate_quantity),
            line.unit_of_measure,
        )
        for line in export.lines
        if line.change != "zero"
    ]
    return hash_content(
        Target(export.company_code, export.job_number, export.currency), sorted(lines, key=attrgetter("key"))
    )


def _count(decimal: str) -> int:
    """Read a decimal with two places as whole hundredths."""
    return int(decimal.replace(".", ""))
