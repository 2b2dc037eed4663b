"""Whether an export answers to the decisions that it carries: proven, of this budget, with these lines.

``reconcile`` asks it by the rules that granted them, and ``audit verify`` by the verifier's own keys.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from contracts.budget_key import BudgetKey
from contracts.drift import DriftDecision
from contracts.inbound import ApprovalDecision, InboundMessage
from contracts.json_text import parse_unique_json
from contracts.signature.keys import PublicKey
from contracts.signature.verifying import Unverified, verify_event
from handlers.signers import Signer, explain_no_signer
from worker.sent_exports import SentExport

_Decision = TypeVar("_Decision", ApprovalDecision, DriftDecision)


class Signers(NamedTuple):
    """Whose signature counts: public keys by kid, and what each may sign."""

    keys: Mapping[str, PublicKey]
    rows: tuple[Signer, ...]
    at: datetime | None = None
    """The moment at which a key must be valid; ``None`` for the one that is signed."""

    def explain_no_signer(self, kid: str, body: InboundMessage, at: datetime) -> str | None:
        """Explain why a key may not sign a message at a moment; ``None`` if it may."""
        return explain_no_signer(self.rows, kid, body, at)


Trust = Callable[[Any, type[ApprovalDecision | DriftDecision]], Signers | None]
"""Finds whose signature counts for an event, as a JSON parser gives it, that is to be of a type; ``None`` for nobody's,
because nobody was granted it."""


class NotApprovedError(Exception):
    """An export does not answer to what it carries; the message says why."""


def list_approving_keys(sent: SentExport, trust: Trust) -> list[str]:
    """List the keys that have signed the decisions that an export carries, each of which it must answer to.

    Raises:
        NotApprovedError: it does not answer to one of them.
    """
    kids, people = [], set()
    if sent.restatement and sent.drift_decision is not None:
        asked, kid = _verify(sent.drift_decision, "drift_decision", DriftDecision, sent.budget, trust)
        if asked.decision != "restate":
            raise NotApprovedError("its drift_decision is signed, but asks for no restatement")
        people.add(asked.decided_by)
        kids.append(kid)
    if sent.approval is not None:
        accepted, kid = _verify(sent.approval, "approval", ApprovalDecision, sent.budget, trust)
        if accepted.decision != "accept":
            raise NotApprovedError("its approval is signed, but it is no acceptance")
        if differing := _find_difference(sent, accepted, {*people, accepted.decided_by}):
            raise NotApprovedError(f"its approval is of another {differing}")
        if sent.odd_line:
            raise NotApprovedError(sent.odd_line)
        kids.append(kid)
    return kids


def _verify(written: str, name: str, model: type[_Decision], budget: BudgetKey, trust: Trust) -> tuple[_Decision, str]:
    event = json.loads(written)
    signers = trust(event, model)
    if signers is None:
        raise NotApprovedError(f"its {name} is not among what was granted")
    found = verify_event(event, signers.keys)
    if isinstance(found, Unverified):
        raise NotApprovedError(f"its {name} is not proven: {found.detail}")
    try:
        decision = model.model_validate(parse_unique_json(found.data))
    except ValidationError:
        decision = None
    if decision is None or found.attributes.get("type") != model.type:
        raise NotApprovedError(f"its {name} is signed, but is no {model.type}")
    if decision.key != budget:
        raise NotApprovedError(f"its {name} is of another budget, {decision.key}")
    if why := signers.explain_no_signer(found.kid, decision, signers.at or found.signed_at):
        raise NotApprovedError(f"its {name} is signed with key {found.kid}, which may not: {why}")
    return decision, found.kid


def _find_difference(sent: SentExport, accepted: ApprovalDecision, people: set[str]) -> str | None:
    is_earlier = accepted.budget_version < sent.version
    if accepted.budget_version != sent.version and not (sent.restatement and is_earlier):
        return f"version, {accepted.budget_version}"
    if sent.approved_by not in people:
        return f"person than {sent.approved_by}, who is said to have approved it"
    if accepted.content_hash != sent.content_hash:
        return "content: the lines that were sent are not those that were accepted"
    return None
