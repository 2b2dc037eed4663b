"""Rule 9 of the ERP side, the reference: it writes an export only where an approver has signed what is in it.

Nothing in an export counts before that: whoever writes to its topic, the bridge too, could have written it. The ERP
side has its own copy of ``signers.jwks.json`` and ``signers.csv``, and no time that it can trust but the one that was
signed, so a stolen key is taken out of its copy, not merely ended.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from pydantic import ValidationError

from contracts.drift import DriftDecision
from contracts.inbound import ApprovalDecision
from contracts.json_text import parse_unique_json
from contracts.signature.keys import PublicKey
from contracts.signature.verifying import Unverified, verify_event
from demo.spectrum import Acceptance, Budget, LineKey, ReceivedExport, SpectrumJob
from handlers.signers import Signer, explain_no_signer

_ZERO = "zero"
_Decision = TypeVar("_Decision", ApprovalDecision, DriftDecision)


class _WrongError(Exception):
    """Why an export is not written, for people."""


@dataclass(slots=True)
class Approvals:
    """Who may sign, and what the ERP side notes of exports that were verified."""

    keys: Mapping[str, PublicKey]
    signers: tuple[Signer, ...]
    _begun: dict[Budget, Acceptance] = field(default_factory=dict)
    """That of the last export that was begun for each budget."""
    _known_lines: dict[SpectrumJob, set[LineKey]] = field(default_factory=dict)
    """Lines of each job that a verified export carried, or that a snapshot for an import had."""

    def verify(self, export: ReceivedExport) -> Acceptance | str:
        """Verify an export before its first line is written, and note its lines.

        Returns:
            The acceptance that it rests on; or why it must not be written, in a sentence.
        """
        try:
            accepted, signed_at = self._verify(export.claim.approval, "approval", ApprovalDecision, export.budget)
            self._check_who(export, accepted)
            self._check_lines(export, accepted)
            acceptance = Acceptance(accepted.budget_version, hash_lines(export), signed_at)
            self._check_age(export, acceptance)
        except _WrongError as wrong:
            return str(wrong)
        self.note_lines(export.job, (line.key for line in export.lines))
        return acceptance

    def note_begun(self, budget: Budget, acceptance: Acceptance) -> None:
        """Note that an export of a budget begins, by this acceptance."""
        self._begun[budget] = acceptance

    def note_lines(self, job: SpectrumJob, keys: Iterable[LineKey]) -> None:
        """Note lines that may be set to zero later, such as those of a snapshot that is given for an import."""
        self._known_lines.setdefault(job, set()).update(keys)

    def _verify(self, event: object, name: str, model: type[_Decision], budget: Budget) -> tuple[_Decision, datetime]:
        """Rule 9.1: it verifies, and a row fits at the time that was signed, however long ago."""
        if event is None:
            raise _WrongError(f"The export has no {name}, so nobody has signed it; have it accepted again")
        found = verify_event(event, self.keys)
        if isinstance(found, Unverified):
            raise _WrongError(f"The {name} does not verify: {found.detail}")
        try:
            body = model.model_validate(parse_unique_json(found.data))
        except ValidationError:
            body = None
        if body is None or found.attributes["type"] != model.type or body.key != budget:
            raise _WrongError(f"The {name} is no {model.type} of this budget")
        if why := explain_no_signer(self.signers, found.kid, body, found.signed_at):
            raise _WrongError(f"The {name} is signed with key {found.kid}, but {why}")
        return body, found.signed_at

    def _check_who(self, export: ReceivedExport, accepted: ApprovalDecision) -> None:
        """Rule 9.2: an acceptance of this version; a restatement has a decision that asks for it besides."""
        approvers = {accepted.decided_by}
        fits = accepted.budget_version == export.version
        if export.claim.restatement:
            asked, _ = self._verify(export.claim.drift_decision, "drift_decision", DriftDecision, export.budget)
            if asked.decision != "restate":
                raise _WrongError("The drift_decision is not to restate anything")
            approvers.add(asked.decided_by)
            fits = accepted.budget_version <= export.version
        if accepted.decision != "accept" or not fits:
            raise _WrongError(f"The approval is not an acceptance of version {export.version}")
        if export.claim.approved_by not in approvers:
            raise _WrongError("approved_by is not who has signed")

    def _check_lines(self, export: ReceivedExport, accepted: ApprovalDecision) -> None:
        """Rule 9.3: the lines are those that were accepted, and zeros of lines that are known."""
        known = self._known_lines.get(export.job, set())
        count = Counter(line.key for line in export.lines)
        for line in export.lines:
            where = f"Line {line.key.phase_code} {line.key.cost_type}"
            if count[line.key] > 1:
                raise _WrongError(f"{where} is there twice")
            if line.change == _ZERO and (line.original or line.revision):
                raise _WrongError(f"{where} is a zero with an amount")
            if line.change == _ZERO and line.key not in known:
                raise _WrongError(f"{where} is set to zero, but no export or import has had it")
        if hash_lines(export) != accepted.content_hash:
            raise _WrongError("The lines are not those that were accepted")

    def _check_age(self, export: ReceivedExport, accepted: Acceptance) -> None:
        """Rule 9.4: no later one was begun of a higher version, or of this one with other content, after a reset."""
        begun = self._begun.get(export.budget)
        if begun is None or accepted.signed_at > begun.signed_at:
            return
        is_other = accepted.version == begun.version and accepted.content_hash != begun.content_hash
        if accepted.version < begun.version or is_other:
            raise _WrongError(f"The approval is older than the one of version {begun.version}, which was begun")


def hash_lines(export: ReceivedExport) -> str:
    """Hash the lines that are not zero, as docs/messages.md describes ``content_hash``."""
    content = sorted(
        (
            *line.key,
            line.description,
            line.original,
            line.revision,
            line.price_method_code,
            line.quantity,
            line.unit,
        )
        for line in export.lines
        if line.change != _ZERO
    )
    text = json.dumps([*export.job, export.claim.currency, content], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
