"""Whether an export answers to the acceptance that it carries: proven, of this budget, with these lines."""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from pydantic import ValidationError

from contracts.export_lines import Change
from contracts.fields import Cents, PriceMethod, Value
from contracts.inbound import ApprovalDecision
from contracts.json_text import parse_json
from contracts.signature.verifying import Unverified, verify_event
from handlers.budget import SpectrumLine, Target
from handlers.spectrum_lines import hash_content
from worker.trail.keys import Signers


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
    lines: tuple[_Line, ...]


class NotApprovedError(Exception):
    """An export does not answer to the acceptance that it carries; the message says why."""


def find_approving_key(value: bytes, budget: str | None, signers: Signers) -> str | None:
    """Find the key that has signed the acceptance which an export carries; ``None`` where it carries none.

    Args:
        value: of the record of the export.
        budget: whose export it is said to be.
        signers: the verifier's own.

    Raises:
        NotApprovedError: it carries one, and does not answer to it.
    """
    data = _parse(value)
    if data.get("approval") is None:
        return None
    found = verify_event(data["approval"], signers.keys)
    if isinstance(found, Unverified):
        raise NotApprovedError(f"its approval is not proven: {found.detail}")
    try:
        export = _Export.model_validate(data)
        decision = ApprovalDecision.model_validate_json(found.data)
    except ValidationError:
        raise NotApprovedError("it is no export with an acceptance, though it is sent as one") from None
    if found.attributes.get("type") != ApprovalDecision.type or decision.decision != "accept":
        raise NotApprovedError("its approval is signed, but it is no acceptance")
    if why := signers.explain_no_signer(found.kid, decision, found.signed_at):
        raise NotApprovedError(f"its approval is signed with key {found.kid}, which may not: {why}")
    if differing := _find_difference(export, decision, budget):
        raise NotApprovedError(f"its approval is of another {differing}")
    return found.kid


def _parse(value: bytes) -> Mapping[str, Any]:
    try:
        parsed = parse_json(value)
    except ValueError as error:
        raise NotApprovedError(f"its value cannot be read: {error}") from None
    if not isinstance(parsed, dict):
        raise NotApprovedError("its value is no JSON object")
    return parsed


def _find_difference(export: _Export, decision: ApprovalDecision, budget: str | None) -> str | None:
    is_of_version = decision.budget_version == export.budget_version or (
        export.restatement and decision.budget_version < export.budget_version
    )
    if str(decision.key) != budget:
        return f"budget, {decision.key}"
    if not is_of_version:
        return f"version, {decision.budget_version}"
    if decision.decided_by != export.approved_by:
        return f"person than {export.approved_by}, who is said to have approved it"
    if decision.content_hash != _hash_lines(export):
        return "content: the lines that were sent are not those that were accepted"
    return None


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
