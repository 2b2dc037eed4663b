"""The dry run: what the bridge would decide on an act before anybody sends it, and the export that would go out.

It runs the core's own ``decide`` on the stored state, with the message that the click would send. No rule is written
twice: what the page shows as possible, and the sentence that it shows where something is not, are the bridge's own.
"""

from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

from contracts.cloudevents.message import Message, Unproven
from contracts.inbound import ApprovalDecision, InboundMessage
from contracts.outbound import BudgetError, RequestRefused, SpectrumExport
from contracts.records import Place, Record
from contracts.signature.signing import PrivateKey
from contracts.topics import TopicNames
from desk.acts import DESK_SOURCE, write_act
from desk.identity import Person
from handlers.budget import Budget, Status
from handlers.decide import decide
from handlers.decision import Outcome, Situation, Verdict
from handlers.drift import hash_drift
from handlers.rules import Rules
from handlers.signatures import must_be_signed, prove, refuse_unproven

_NOBODY: Final = Person("", "", "", datetime.min.replace(tzinfo=UTC))
_NO_ID: Final = UUID(int=0)


class Preview(NamedTuple):
    """What the bridge would decide on one message."""

    outcome: Outcome

    @property
    def is_allowed(self) -> bool:
        """Whether it would be applied, and do what it asks for: an acceptance can also show that nothing fits now."""
        return self.outcome.verdict is Verdict.APPLIED and not self.errors

    @property
    def errors(self) -> tuple[BudgetError, ...]:
        """What would make the version invalid."""
        after = self.outcome.step.budget
        return after.version.errors if after.status is Status.INVALID and after.version else ()

    @property
    def sentence(self) -> str:
        """Why not, in the bridge's own words."""
        return self.refusal.message if self.refusal else self.outcome.detail

    @property
    def refusal(self) -> RequestRefused | None:
        """The refusal that would be sent."""
        return next((sent for sent in self.outcome.step.sends if isinstance(sent, RequestRefused)), None)

    @property
    def export(self) -> SpectrumExport | None:
        """The export that would be sent."""
        return next((sent for sent in self.outcome.step.sends if isinstance(sent, SpectrumExport)), None)


def preview(budget: Budget, body: InboundMessage, situation: Situation, key: PrivateKey | None = None) -> Preview:
    """Decide on a message without sending it.

    Args:
        budget: as it is stored.
        body: the message.
        situation: what else deciding sees.
        key: with which the desk would sign it.
    """
    message = Message(DESK_SOURCE, str(_NO_ID), body, ())
    proven = _prove(message, situation, key) if must_be_signed(message, situation.rules) else message
    if isinstance(proven, Unproven):
        return Preview(refuse_unproven(proven))
    return Preview(decide(budget, proven, situation))


def _prove(message: Message, situation: Situation, key: PrivateKey | None) -> Message | Unproven:
    """Sign a message as the desk would, and prove it as the bridge will."""
    sent = write_act(message.body, _NO_ID, _NOBODY, TopicNames(), situation.at, key)
    record = Record(Place(sent.topic, 0, 0), 0, sent.key, sent.value, sent.headers)
    return prove(message, record, situation.at, situation.rules)


def make_acceptance(budget: Budget, by: str, at: datetime) -> ApprovalDecision | None:
    """Make the acceptance of the current version, of exactly what is shown; ``None`` before a version was locked."""
    version = budget.version
    if version is None:
        return None
    return ApprovalDecision(
        **budget.key._asdict(),
        budget_version=version.number,
        decision="accept",
        decided_by=by,
        decided_at=at,
        content_hash=version.content_hash,
        drift_hash=hash_drift(budget.open_lines),
    )


def make_rejection(budget: Budget, by: str, at: datetime, reason: str) -> ApprovalDecision | None:
    """Make the rejection of the current version; ``None`` before a version was locked."""
    acceptance = make_acceptance(budget, by, at)
    return acceptance and acceptance.model_copy(update={"decision": "reject", "reason": reason, "drift_hash": None})


def list_who_may_accept(
    budget: Budget, rules: Rules, situation: Situation, key: PrivateKey | None = None
) -> tuple[str, ...]:
    """List the approvers of the project whose acceptance would be applied, as the rules name them."""
    company, project = budget.key.project
    approvers = rules.approvers.get((company, project), frozenset()) | rules.approvers.get((company, None), frozenset())
    thin = _thin(budget)
    return tuple(
        user
        for user in sorted(approvers)
        if (act := make_acceptance(thin, user, situation.at))
        and preview(thin, act, situation, key).outcome.verdict is not Verdict.REFUSED
    )


def _thin(budget: Budget) -> Budget:
    """Leave one line of what would be sent: who may accept it does not depend on the lines, and others cost time."""
    version, export = budget.version, budget.unanswered
    if version and version.proposal:
        version = version._replace(proposal=version.proposal._replace(lines=version.proposal.lines[:1]))
    return budget._replace(version=version, unanswered=export and export._replace(lines=export.lines[:1]))
