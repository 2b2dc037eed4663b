"""What a message of the desk says of its person, with whose key it is signed, and what the log keeps."""

from typing import Any
from uuid import UUID

import pytest
from starlette.requests import Request

from contracts.inbound import ApprovalDecision
from contracts.records import Outgoing, Place, Record
from contracts.signature.signing import PrivateKey, generate_key
from contracts.signature.verifying import verify_record
from contracts.topics import TopicNames
from desk.acts import log_act, write_act
from tests.unit.builders import KEY
from tests.unit.desk_doors import Clock, Log, make_someone

MESSAGE_ID = UUID("6f0b5f3c-3d0e-5c0c-9a55-6f6d1ce0d5a1")


def make_decision() -> ApprovalDecision:
    return ApprovalDecision.model_validate(
        KEY._asdict()
        | {
            "budget_version": 2,
            "decision": "accept",
            "decided_by": "anna@hillside.example",
            "decided_at": "2026-11-24T09:00:00Z",
            "reason": None,
            "content_hash": "7ad6" * 16,
        }
    )


def write(key: PrivateKey | None) -> Outgoing:
    return write_act(make_decision(), MESSAGE_ID, make_someone(), TopicNames("t."), Clock().at, key)


def test_a_message_says_who_vouches_for_whom() -> None:
    record = write(None)
    assert (record.topic, record.key) == ("t.procore.approvals", str(KEY).encode())
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": str(MESSAGE_ID).encode(),
        "ce_source": b"budget-bridge/desk",
        "ce_type": b"approval.decision.v1",
        "ce_time": b"2026-11-24T09:00:00Z",
        "ce_subject": str(KEY).encode(),
        "content-type": b"application/json",
        "ce_authtype": b"app_user",
        "ce_authid": b"https://login.example#sub-of-anna@hillside.example",
    }


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_a_signature_of_the_desk_verifies(algorithm: Any) -> None:
    key = generate_key("desk-1", "*", algorithm)
    signed, other = write(key), generate_key("desk-1", "*", algorithm)
    record = Record(Place(signed.topic, 0, 0), 0, signed.key, signed.value, signed.headers)
    assert getattr(verify_record(record, str(KEY), {"desk-1": key.public}), "kid", None) == "desk-1"
    assert getattr(verify_record(record, str(KEY), {"desk-1": other.public}), "code", None) == "signature_invalid"


def test_the_log_says_from_where_a_message_was_sent_and_holds_no_cookie() -> None:
    log = Log()
    logger: Any = log
    headers = [
        (b"user-agent", b"Firefox" + b"x" * 500),
        (b"cookie", b"__Host-desk=sealed"),
        (b"x-forwarded-for", b"10.0.0.7"),
    ]
    request = Request({"type": "http", "headers": headers, "client": ("127.0.0.1", 5)})
    log_act(logger, request, make_decision(), MESSAGE_ID, make_someone())
    [(event, values)] = log.lines
    assert (event, values["message_id"], values["budget"]) == ("act.sent", str(MESSAGE_ID), str(KEY))
    assert (values["address"], values["forwarded_for"], len(values["browser"])) == ("127.0.0.1", "10.0.0.7", 200)
    assert "sealed" not in str(values)
