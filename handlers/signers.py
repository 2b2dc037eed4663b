"""Whose signature counts for what: the types that must be signed, and the rows of ``signers.csv``."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Literal, NamedTuple

from contracts.body import Inbound
from contracts.budget_key import BudgetKey
from contracts.drift import DriftDecision
from contracts.fields import write_time
from contracts.imports import ImportRequested
from contracts.inbound import (
    ApprovalDecision,
    BudgetRelease,
    BudgetReset,
    ErpAcknowledgement,
    ExportRetry,
    InboundMessage,
)
from contracts.text import fold_text

Word = Literal["decision", "retry", "release", "reset", "acknowledgement"]
"""What a signature is for, as ``rules.toml`` and ``signers.csv`` name it."""

ANYBODY: Final = "*"
"""The user of a signer that vouches for whomever it has logged in."""

_WORDS: Final[Mapping[type[Inbound], Word]] = {
    ApprovalDecision: "decision",
    DriftDecision: "decision",
    ImportRequested: "decision",
    ExportRetry: "retry",
    BudgetRelease: "release",
    BudgetReset: "reset",
    ErpAcknowledgement: "acknowledgement",
}

WORDS_OF_TYPES: Final[Mapping[str, Word]] = {model.type: word for model, word in _WORDS.items()}
"""The same by the name of the type."""


class Signer(NamedTuple):
    """One row of ``signers.csv``: what a key may sign, for whom, where and when."""

    kid: str
    user: str
    """Folded, as users are compared, or ``ANYBODY``."""
    company_id: int
    project_id: int | None
    """``None`` means the whole company."""
    may: frozenset[Word]
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    """The first moment at which it is not valid any more."""

    def is_for(self, project: tuple[int, int]) -> bool:
        """Check whether it is for the project, by company and project id."""
        return self.company_id == project[0] and self.project_id in {None, project[1]}

    def vouches_for(self, user: str | None) -> bool:
        """Check whether it may sign what names this user; ``None`` is a message that names nobody."""
        return user is None or self.user in {ANYBODY, fold_text(user)}

    def is_valid_at(self, at: datetime) -> bool:
        """Check whether the moment is within its bounds."""
        return (self.valid_from is None or self.valid_from <= at) and (
            self.valid_until is None or at < self.valid_until
        )


def order_signers(signers: Iterable[Signer]) -> tuple[Signer, ...]:
    """Put rows into the one order in which equal rules are equal; each is there once."""
    return tuple(sorted(set(signers), key=_order))


def find_word(body: InboundMessage) -> Word | None:
    """Find what a signature of this message is for; ``None`` for a type that is never signed."""
    return _WORDS.get(type(body))


def name_person(body: InboundMessage) -> str | None:
    """Name the person in a message, who must be the signer's user; ``None`` for a type that names none."""
    if isinstance(body, ApprovalDecision | DriftDecision):
        return body.decided_by
    if isinstance(body, ImportRequested | ExportRetry | BudgetRelease | BudgetReset):
        return body.requested_by
    return None


def explain_no_signer(signers: tuple[Signer, ...], kid: str, body: InboundMessage, at: datetime) -> str | None:
    """Explain why a key may not sign a message.

    Args:
        signers: the rows of the rules.
        kid: of the key.
        body: what it has signed.
        at: the moment that counts.

    Returns:
        What no row fits, in words; ``None`` if one row fits.
    """
    key, word, person = body.key, find_word(body), name_person(body)
    if not (rows := [row for row in signers if row.kid == kid]):
        return "it has no row"
    if not (rows := [row for row in rows if word in row.may]):
        return f"its rows do not have {word}"
    if not (rows := [row for row in rows if row.is_for(key.project)]):
        return f"its rows with {word} are not for project {_name_project(key)}"
    if not (rows := [row for row in rows if row.vouches_for(person)]):
        return f"its rows for project {_name_project(key)} are not of {person}"
    if not any(row.is_valid_at(at) for row in rows):
        return f"it is not valid at {write_time(at)}"
    return None


def _order(row: Signer) -> tuple[object, ...]:
    bounds = (at.timestamp() if at else 0.0 for at in (row.valid_from, row.valid_until))
    return (*row[:3], row.project_id or 0, sorted(row.may), *bounds)


def _name_project(key: BudgetKey) -> str:
    return f"{key.company_id}/{key.project_id}"
