"""Who somebody is: what the desk needs to know of a person, and of whatever finds out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from pydantic import TypeAdapter, ValidationError
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute

from contracts.fields import User
from contracts.text import has_format_character

MAX_SUBJECT: Final = 255
"""Characters of a subject (OpenID Connect Core 1.0, section 2)."""

LEEWAY_SECONDS: Final = 60
"""How far the issuer's clock may be from ours."""

SIGNATURES: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"})
"""Public-key signatures: with ``none`` or a shared secret, others than the issuer could write a token."""

_USER: Final = TypeAdapter[str](User)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has signed in."""

    user: str
    """As approvers and operators are listed, and as decisions name whoever decides."""
    issuer: str
    """Who vouches for the person, such as the URL of an OpenID provider."""
    subject: str
    """What the issuer calls the person, however their address may change."""
    signed_in_at: datetime


class SignInRefused(Exception):  # noqa: N818 - an answer, not a fault of the program
    """The desk does not take somebody's word for who they are; the message is a sentence for that person."""


class ProviderUnavailable(Exception):  # noqa: N818 - a state of the deployment
    """Whoever vouches for people does not answer in time; the message says who and what happened."""


class Found(NamedTuple):
    """Whoever sends a request."""

    person: Person
    cookie: str | None = None
    """The ``Set-Cookie`` header that renews their session, where one is due."""


class Identity(Protocol):
    """Finds out who somebody is."""

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """The pages for signing in and out; none where a proxy does that."""

    async def find_person(self, connection: HTTPConnection) -> Found | None:
        """Find who sends a request; ``None`` for nobody who has signed in.

        Raises:
            SignInRefused: the request claims an identity in a way that is not to be trusted.
            ProviderUnavailable: nobody can be asked at present.
        """


def make_person(user: object, issuer: str, subject: object, at: datetime) -> Person:
    """Make a person of what an issuer says, if decisions can name them.

    Args:
        user: what approvers are listed by.
        issuer: who says so.
        subject: what the issuer calls the person.
        at: when they signed in.

    Raises:
        SignInRefused: the user or the subject is too long, blank, or has control or format characters.
    """
    try:
        name = _USER.validate_python(user)
    except ValidationError:
        message = "Your user name is not text of 1 to 255 characters that can all be seen, so no decision can name you."
        raise SignInRefused(message) from None
    if not isinstance(subject, str) or not 1 <= len(subject) <= MAX_SUBJECT or has_format_character(subject):
        message = f"The subject that {issuer} has for you is not text of 1 to {MAX_SUBJECT} characters."
        raise SignInRefused(message)
    return Person(name, issuer, subject, at)
