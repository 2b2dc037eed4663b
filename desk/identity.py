"""Who somebody is: what the desk needs to know of a person, and of whatever finds out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has signed in."""

    user: str
    """As approvers and operators are listed, and as decisions name whoever decides."""
    issuer: str
    subject: str
    signed_in_at: datetime


class Identity(Protocol):
    """Finds out who somebody is."""

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """The pages for signing in and out; none where a proxy does that."""

    def find_person(self, connection: HTTPConnection) -> Person | None:
        """Find who sends a request; ``None`` for nobody who has signed in."""


class Nobody:
    """Knows nobody: what the desk has until it is told how people sign in."""

    routes: Sequence[BaseRoute] = ()

    def find_person(self, connection: HTTPConnection) -> Person | None:  # noqa: ARG002 - as every identity
        """Find nobody."""
        return None
