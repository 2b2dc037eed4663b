"""The token in every form that acts, and the id of the message that the form sends.

A token says whose form it is, on which budget, version and content. Its nonce makes the id, so a form that is sent
twice sends the same message twice, and history drops the second.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

from contracts.budget_key import BudgetKey, parse_budget_key
from desk.seals import Seal
from handlers.rules import fold_user

LIFETIME: Final = timedelta(hours=8)

_NAMESPACE: Final = UUID("6f0b5f3c-3d0e-4c0c-9a55-6f6d1ce0d5a1")
_NONCE_BYTES: Final = 16


class FormRefused(Exception):  # noqa: N818 - an answer, not a fault of the program
    """The token does not fit who sends it or what it is sent to; the message is a sentence for that person."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a person saw when they were offered a form."""

    key: BudgetKey
    version: int
    seen: str
    """A digest of everything that the page showed of the state, so that another state is told from it."""
    nonce: str


class Forms:
    """Writes and reads the tokens of forms."""

    def __init__(self, secret_lines: Sequence[str], clock: Callable[[], datetime]) -> None:
        """Take the secrets, the newest first, and the time, with zone."""
        self._seal = Seal(secret_lines, "form")
        self.sent = Seal(secret_lines, "sent")
        """What the addresses of receipts carry."""
        self._clock = clock

    def write(self, user: str, key: BudgetKey, version: int, seen: str) -> str:
        """Write the token of a new form."""
        values = {
            "user": fold_user(user),
            "key": str(key),
            "version": version,
            "seen": seen,
            "nonce": secrets.token_urlsafe(_NONCE_BYTES),
            "at": int(self._clock().timestamp()),
        }
        return self._seal.close(values)

    def read(self, token: str, user: str, key: BudgetKey) -> Form:
        """Read the token of a form that was sent.

        Args:
            token: as it came.
            user: who sends it.
            key: the budget that it is sent to.

        Raises:
            FormRefused: it is not ours, too old, somebody else's, or of another budget.
        """
        values = self._seal.open(token)
        if values is None:
            message = "This form is not one that the desk has written, or the desk's secret has changed since."
            raise FormRefused(message)
        if values["user"] != fold_user(user):
            raise FormRefused("This form was offered to somebody else, who was signed in here before you.")
        if values["key"] != str(key):
            raise FormRefused(f"This form is for budget {values['key']}.")
        if self._clock() - datetime.fromtimestamp(values["at"], UTC) > LIFETIME:
            raise FormRefused(f"This form is older than {LIFETIME // timedelta(hours=1)} hours.")
        return Form(parse_budget_key(values["key"]), values["version"], values["seen"], values["nonce"])


def name_message(form: Form, act: str) -> UUID:
    """Name the message that a form sends.

    Args:
        form: the form.
        act: what is done with it, such as ``accept``; another act on the same form is another message.

    Returns:
        The same id each time, so that sending in doubt is safe.
    """
    return uuid5(_NAMESPACE, f"{form.nonce} {act}")
