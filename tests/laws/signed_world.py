"""A world in which decisions, commands and answers are signed, and a forger writes whatever they like to any topic.

Three laws more: (LS1) Whatever is exported carries an acceptance that one of the honest people has signed, of these
lines. (LS2) What nobody has proven changes nothing. (LS3) It keeps nothing from being decided that is genuine.
"""

import json
import random
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message, Unproven
from contracts.cloudevents.writing import write_attributes
from contracts.fields import write_time
from contracts.inbound import ApprovalDecision, BudgetReset, ErpAcknowledgement, ExportRetry, InboundMessage
from contracts.outbound import SpectrumExport
from contracts.records import Place, Record
from contracts.signature.event import SignedEvent
from contracts.signature.signing import PrivateKey, generate_key, sign_headers
from contracts.signature.verifying import Verified, verify_event
from handlers.decision import Outcome
from handlers.ids import name_export
from handlers.signatures import prove, refuse_unproven
from handlers.signers import Signer, find_word
from tests.laws.world import BEGIN, PROJECT, World, name_person, play_world, require
from worker.sent_exports import read_export

PEOPLE: Final = {
    name: generate_key(kid, name)
    for kid, name in (("ann-1", "ann"), ("jose-1", "jos\u00e9"), ("olga-1", "olga"), ("spectrum-1", "spectrum"))
}
ANN_AGAIN: Final = generate_key("ann-2", "ann", "ES256")
FORGER: Final = generate_key("ann-1", "ann")
"""Its kid is that of Ann's key."""
SIGNERS: Final = (
    Signer("ann-1", "ann", PROJECT[0], None, frozenset({"decision"})),
    Signer("ann-2", "ann", PROJECT[0], PROJECT[1], frozenset({"decision"})),
    Signer("jose-1", "jos\u00e9", PROJECT[0], None, frozenset({"decision"})),
    Signer("olga-1", "olga", PROJECT[0], None, frozenset({"retry", "reset", "release"})),
    Signer("spectrum-1", "spectrum", PROJECT[0], None, frozenset({"acknowledgement"})),
)
NEEDED: Final = frozenset({"olga-1", "spectrum-1"})
"""The keys that are never taken away: without them no history comes to its end."""


@dataclass
class SignedWorld(World):
    """One history in the making, by people with keys and by a forger without any that counts."""

    _records: dict[tuple[str, str], Record] = field(default_factory=dict)
    """Every genuine record, by type and id: whoever repeats a message sends the same bytes."""
    _honest: set[bytes] = field(default_factory=set)
    """The data of every acceptance that somebody has signed."""
    _offset: int = 0
    _is_draining: bool = False
    _is_retry: bool = False
    """Whether what is decided is a retry: it asks nobody again."""

    def __post_init__(self) -> None:
        super().__post_init__()
        keys = [*PEOPLE.values(), ANN_AGAIN]
        self.rules = replace(
            self.rules,
            signing_keys={key.public.kid: key.public for key in keys},
            signers=SIGNERS,
            signatures_required=frozenset({"decision", "retry", "reset", "release", "acknowledgement"}),
        )

    def drain(self) -> None:
        self._is_draining = True
        self.rules = replace(self.rules, signers=SIGNERS)
        super().drain()

    def deliver(self, message_id: str, body: InboundMessage, first: str = "") -> Outcome | None:
        if not self._is_draining and self.chance.random() < 0.15:
            # Accounting takes keys away, and gives them back.
            signers = tuple(row for row in SIGNERS if row.kid in NEEDED or self.chance.random() < 0.7)
            self.rules = replace(self.rules, signers=signers)
        for _ in range(self.chance.choice([0, 0, 0, 1, 2])):
            self._forge(message_id, body)
        record = self._records.setdefault((body.type, message_id), self._sign(message_id, body))
        if self._refuse(message_id, body, record) is not None:
            self.counts["genuine messages refused for their key"] += 1
            return None
        self._is_retry = isinstance(body, ExportRetry)
        outcome = super().deliver(message_id, body, first)
        if outcome is not None:
            self.counts["genuine messages decided"] += 1
        return outcome

    def _write_message(self, message_id: str, body: InboundMessage) -> Message:
        message = super()._write_message(message_id, body)
        proven = prove(message, self._records[body.type, message_id], self.now, self.rules)
        require("LS3: what is genuine is decided", holds=isinstance(proven, Message))
        return proven if isinstance(proven, Message) else message

    def _refuse(self, message_id: str, body: InboundMessage, record: Record) -> Unproven | None:
        """Refuse a record as the lane does, if nobody has proven it."""
        proven = prove(Message("law", message_id, body, (), record.place), record, self.now, self.rules)
        if not isinstance(proven, Unproven):
            return None
        before = dict(self.budgets)
        outcome = refuse_unproven(proven)
        self.counts[f"refused {proven.code}"] += 1
        types = [send.type for send in outcome.step.sends if not isinstance(send, tuple)]
        require("LS2: what nobody has proven is refused, and nothing else", holds=types == ["request.refused.v1"])
        require("LS2: what nobody has proven changes nothing", holds=self.budgets == before)
        return proven

    # Those who sign

    def _sign(self, message_id: str, body: InboundMessage) -> Record:
        record = self.write_record(message_id, body, self._choose_key(body))
        if isinstance(body, ApprovalDecision) and body.decision == "accept" and name_person(body.decided_by) in PEOPLE:
            self._honest.add(record.value or b"")
        return record

    def _choose_key(self, body: InboundMessage) -> PrivateKey | None:
        if isinstance(body, ErpAcknowledgement):
            return PEOPLE["spectrum"]
        if isinstance(body, ExportRetry | BudgetReset):
            return PEOPLE["olga"]
        person = name_person(getattr(body, "decided_by", ""))
        return ANN_AGAIN if person == "ann" and self.chance.random() < 0.3 else PEOPLE.get(person)

    def write_record(
        self, message_id: str, body: InboundMessage, key: PrivateKey | None, signed_at: datetime | None = None
    ) -> Record:
        """Write a record that is signed as it is, or not at all."""
        value = body.model_dump_json().encode()
        time = write_time(signed_at or self.now)
        headers = write_attributes(body.type, "law", message_id, time=time, subject=str(body.key))
        self._offset += 1
        place = Place("procore.approvals", 0, self._offset)
        return Record(place, 0, None, value, sign_headers(headers, value, key) if key else headers)

    # The one who has no key

    def _forge(self, message_id: str, genuine: InboundMessage) -> None:
        """Write something that nobody has signed, often under the id of what comes next."""
        key, _ = self._pick()
        body = self.chance.choice([self._make_acceptance, self._make_acceptance, self._make_command])(key)
        if self.chance.random() < 0.2 and find_word(genuine):
            body = genuine
        chosen = message_id if self.chance.random() < 0.7 else f"forged{self._offset}"
        record = self.chance.choice(list(FORGED.values()))(self, chosen, body)
        self.counts["forgeries"] += 1
        refused = self._refuse(chosen, body, record)
        require(f"LS1: a forgery is refused: {body.type}", holds=refused is not None)

    def _make_acceptance(self, key: BudgetKey) -> InboundMessage:
        """Make the acceptance that would do the most harm: of what is current, in the name of an approver."""
        version = self.budgets[key].version
        return ApprovalDecision(
            **key._asdict(),
            budget_version=version.number if version else 1,
            decision="accept",
            decided_by=self.chance.choice(["ann", "jos\u00e9"]),
            decided_at=self.now + timedelta(microseconds=1),
            content_hash=version.content_hash if version else None,
        )

    def _make_command(self, key: BudgetKey) -> InboundMessage:
        version = self.budgets[key].version
        number = version.number if version else 1
        fields = {**key._asdict(), "budget_version": number}
        export_id = name_export(key, number, max(len(self.budgets[key].tries), 1))
        success = {"export_id": export_id, "attempt": 1, "status": "success", "acknowledged_at": self.now}
        commands: list[InboundMessage] = [
            ExportRetry(**fields, requested_by="olga", reason="forged"),
            BudgetReset(**fields, requested_by="olga", reason="forged"),
            ErpAcknowledgement.model_validate(fields | success),
        ]
        return self.chance.choice(commands)

    # What must hold

    def _take_export(self, key: BudgetKey, export: SpectrumExport) -> None:
        require("LS1: an export carries its acceptance", holds=export.approval is not None)
        if export.approval:
            self._check_approval(export, export.approval)
        super()._take_export(key, export)

    def _check_approval(self, export: SpectrumExport, approval: SignedEvent) -> None:
        data = b64decode(approval.data_base64)
        require("LS1: an approver has signed what is exported", holds=data in self._honest)
        keys = {one.public.kid: one.public for one in (*PEOPLE.values(), ANN_AGAIN)}
        proof = verify_event(approval.model_dump(mode="json"), keys)
        require("LS1: the acceptance verifies by itself", holds=isinstance(proof, Verified))
        kid = proof.kid if isinstance(proof, Verified) else ""
        may = any(row.kid == kid and "decision" in row.may for row in self.rules.signers)
        require("LS1: its key may sign it when it is exported", holds=may or self._is_retry)
        said = json.loads(data)
        sent = read_export(export.write())
        require("LS1: these lines were accepted", holds=said["content_hash"] == sent.content_hash)
        require("LS1: this version was accepted", holds=said["budget_version"] == export.budget_version)
        require("LS1: by whom it says", holds=said["decided_by"] == export.approved_by)
        self.counts["exports with an acceptance"] += 1


def _change_headers(record: Record, **changes: bytes) -> Record:
    return replace(record, headers=tuple((name, changes.get(name, value)) for name, value in record.headers))


FORGED: Final[dict[str, Callable[[SignedWorld, str, InboundMessage], Record]]] = {
    "unsigned": lambda world, name, body: world.write_record(name, body, None),
    "by a key of one's own": lambda world, name, body: world.write_record(name, body, FORGER),
    "with other data": lambda world, name, body: replace(
        world.write_record(name, body, PEOPLE["ann"]), value=body.model_dump_json(indent=1).encode()
    ),
    "with another id": lambda world, name, body: _change_headers(
        world.write_record(name, body, PEOPLE["ann"]), ce_id=b"another"
    ),
    "by a key for something else": lambda world, name, body: world.write_record(
        name, body, PEOPLE["spectrum" if isinstance(body, ApprovalDecision) else "jos\u00e9"]
    ),
    "long ago": lambda world, name, body: world.write_record(name, body, PEOPLE["ann"], BEGIN - timedelta(days=30)),
}
"""How a forger writes a record; each is refused, whatever is in it."""


def play_with_signatures(chance: random.Random, steps: int) -> Counter[str]:
    """Play one history in which people sign, and one forges."""
    return play_world(SignedWorld(chance, steps))
