"""Proves who has sent a message, where the rules want that: before its id is looked up, and before any other rule.

What a signature is worth is asked again when a message is decided later than it arrived; the signature itself is not.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from contracts.cloudevents.message import Message, Proof, Unproven
from contracts.fields import write_time
from contracts.records import Record
from contracts.signature.event import read_event
from contracts.signature.verifying import Unverified, Verified, verify_record
from handlers.budget import Budget
from handlers.decision import Outcome, Step
from handlers.requests import refuse
from handlers.rules import Rules
from handlers.signers import explain_no_signer, find_word, name_person

CLOCKS_DIFFER_BY: Final = timedelta(minutes=5)
"""A signer's clock may be ahead of the broker's by so much."""


def must_be_signed(message: Message, rules: Rules) -> bool:
    """Check whether the rules want a signature of a message of this type."""
    return bool(rules.signatures_required) and find_word(message.body) in rules.signatures_required


def prove(message: Message, record: Record, at: datetime, rules: Rules) -> Message | Unproven:
    """Prove that a message comes from somebody who may send it.

    Args:
        message: what was read from the record.
        record: as it was first read.
        at: the time of its inbox record.
        rules: what the message is decided by.

    Returns:
        The message, with its proof where it must be signed; or why there is none.
    """
    if not must_be_signed(message, rules):
        return message
    found = verify_record(record, str(message.body.key), rules.signing_keys)
    if isinstance(found, Unverified):
        return Unproven(message, found.code, found.detail)
    proven = keep_proof(message, record, found.kid)
    return check_proof(proven, at, rules) or _check_age(proven, found, at, rules) or proven


def keep_proof(message: Message, record: Record, kid: str) -> Message:
    """Give a message its proof, now that it is verified, or again where that was when it arrived.

    Args:
        message: what was read from the record.
        record: as it was first read.
        kid: of the key that has signed it.
    """
    proof = Proof(kid, read_event(record) if find_word(message.body) == "decision" else None)
    return replace(message, proof=proof)


def check_proof(message: Message, at: datetime, rules: Rules) -> Unproven | None:
    """Check whether the rules still let the key of a message sign it.

    Args:
        message: with the proof that it was given when it arrived.
        at: when it is decided.
        rules: what it is decided by.
    """
    if not must_be_signed(message, rules):
        return None
    if message.proof is None:
        sentence = "This came before it had to be signed, and is decided only now; sign it and send it again."
        return Unproven(message, "signature_missing", sentence)
    kid = message.proof.kid
    if why := explain_no_signer(rules.signers, kid, message.body, at):
        sentence = f"Key {kid} may not sign this: {why} in signers.csv; ask accounting to change that."
        return Unproven(message, "signer_not_allowed", sentence)
    return None


def refuse_unproven(unproven: Unproven, step: Step | None = None) -> Outcome:
    """Refuse a message that nobody has proven to have sent.

    Args:
        unproven: the message, and why.
        step: the budget so far; ``None`` where the budget is not even looked at.
    """
    message = unproven.message
    requested_by = name_person(message.body) or message.source
    return refuse(step or Step(Budget(message.body.key)), message, requested_by, unproven.code, unproven.sentence)


def _check_age(message: Message, found: Verified, at: datetime, rules: Rules) -> Unproven | None:
    signed, came = write_time(found.signed_at), write_time(at)
    if found.signed_at < at - rules.signature_max_age:
        sentence = (
            f"This was signed at {signed}, and arrived too long after that, at {came}; sign it again and send that."
        )
    elif found.signed_at > at + CLOCKS_DIFFER_BY:
        sentence = (
            f"This was signed at {signed}, but arrived before that, at {came}; set the signer's clock, sign again."
        )
    else:
        return None
    return Unproven(message, "signature_expired", sentence)
