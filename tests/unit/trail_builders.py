"""Trails for the tests, as an honest bridge writes them, and files in which something was changed afterwards."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

from contracts.cloudevents.writing import write_attributes
from contracts.inbound import InboundMessage
from contracts.records import Headers, Outgoing, Place, Record
from contracts.signature.keys import PublicKey
from contracts.signature.signing import PrivateKey, generate_key, sign_headers
from contracts.signature.verifying import Verified, verify_record
from handlers.signers import Signer
from outbox.trail import ReceivedRow, SentRow, TrailDeployment, TrailRules
from tests.unit.builders import KEY, NOON, accept, hash_of, lock
from worker.signed_exports import Signers
from worker.trail.export import make_head, make_received, make_rules, make_sent
from worker.trail.lines import Line
from worker.trail.output import write_trail
from worker.trail.verifying import Verification, verify_trail

ANN = generate_key("ann-2026", "ann")
MALLORY = generate_key("ann-2026", "ann")
"""Another key under the same kid."""
INBOX = "x.bridge.inbox"
DEPLOYMENT = TrailDeployment(UUID(int=7), "budget-bridge", INBOX, None, NOON)
RULES_LINE = TrailRules(3, "d" * 64, ("decision",), (("olga", "signatures", NOON),))
LINE = {
    "budget_line_item_id": 1,
    "phase_code": "05120",
    "cost_type": "S",
    "description": "Structural steel",
    "original_estimate_cost": "640000.00",
    "revision_amount": "0.00",
    "price_method_code": "T",
    "change": "add",
}


def trust(*keys: PrivateKey, **row: Any) -> Signers:
    """The verifier's own copy, in which these keys may decide for the company."""
    rows = (Signer(key.public.kid, key.user, KEY.company_id, None, frozenset({"decision"})) for key in keys)
    public: dict[str, PublicKey] = {key.public.kid: key.public for key in keys}
    return Signers(public, tuple(one._replace(**row) for one in rows))


def receive(offset: int, body: InboundMessage, key: PrivateKey | None = None, *more: tuple[str, bytes]) -> ReceivedRow:
    """A message that was applied, signed if there is a key."""
    value = json.dumps(body.model_dump(mode="json")).encode()
    headers: Headers = write_attributes(
        body.type, "ui", f"m{offset}", time="2026-11-24T09:00:00Z", subject=str(body.key)
    )
    if key:
        headers = sign_headers(headers, value, key)
    record = Record(Place("x.procore.approvals", 0, offset), 0, b"key", value, (*headers, *more))
    return ReceivedRow(
        0,
        offset,
        NOON,
        body.key,
        body.version,
        "ui",
        f"m{offset}",
        body.type,
        record,
        "applied",
        "done",
        3,
        key.public.kid if key else None,
        pruned=False,
    )


def write_event(row: ReceivedRow | None) -> dict[str, Any] | None:
    """What an export carries of a message that Ann has signed."""
    verified = row and verify_record(row.original, str(KEY), {ANN.public.kid: ANN.public})
    return verified.event.model_dump(mode="json") if isinstance(verified, Verified) else None


def send_export(offset: int, acceptance: ReceivedRow | None, *lines: dict[str, Any], **fields: Any) -> SentRow:
    """An export because of an acceptance, which it carries."""
    data = {
        **KEY._asdict(),
        "budget_version": 1,
        "export_id": "e1",
        "restatement": 0,
        "attempt": 1,
        "company_code": "001",
        "job_number": "26-1001",
        "currency": "USD",
        "approved_by": "ann",
        "approved_at": "2026-11-24T09:00:00Z",
        "approval": write_event(acceptance),
        "lines": lines or (LINE,),
    } | fields
    message_id = UUID(int=offset)
    headers = write_attributes("spectrum.export.v1", "budget-bridge", str(message_id))
    record = Outgoing("x.spectrum.exports", str(KEY).encode(), json.dumps(data).encode(), headers)
    return SentRow(0, offset, 0, NOON, KEY, message_id, "spectrum.export.v1", record)


ACCEPTED = receive(2, accept(content_hash=hash_of()), ANN)


def make_honest() -> list[ReceivedRow | SentRow]:
    """A lock, its signed acceptance, and the export that carries it."""
    return [receive(1, lock()), ACCEPTED, send_export(2, ACCEPTED)]


def write(
    rows: Sequence[ReceivedRow | SentRow], rules: TrailRules = RULES_LINE, **deployment: Any
) -> tuple[list[bytes], str]:
    """The lines of a file, and the page."""
    there = DEPLOYMENT._replace(**deployment)
    lines: list[bytes] = []
    page: list[bytes] = []

    async def make() -> AsyncIterator[Line]:
        yield make_head(there, KEY, "0.1.0")
        yield make_rules(rules)
        for row in rows:
            yield make_received(row, INBOX) if isinstance(row, ReceivedRow) else make_sent(row, INBOX)

    asyncio.run(write_trail(make(), lines.append, page.append))
    return lines, b"".join(page).decode()


def change(lines: Sequence[bytes], number: int, how: Callable[[dict[str, Any]], object]) -> list[bytes]:
    """Change a line, from 0, and write every later one anew, as a forger does who knows of the chain."""
    changed: list[bytes] = []
    previous = None
    for at, text in enumerate(lines):
        line = json.loads(text)
        if at == number:
            how(line)
        line["previous"] = previous
        written = json.dumps(line, separators=(",", ":")).encode()
        previous = sha256(written).hexdigest()
        changed.append(written + b"\n")
    return changed


def check(lines: Sequence[bytes], signers: Signers | None = None) -> Verification:
    """Verify, with Ann's key unless others are given."""
    return verify_trail(lines, signers or trust(ANN))
