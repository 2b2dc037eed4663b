"""The session of somebody who has signed in: a signed cookie, and nothing on this side.

It says who signed in, when, and when they were last seen. It has no token and no rights: those are looked up at each
request. As nothing is kept, a session ends for everybody at once when its secret leaves DESK_SECRET_FILE.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.requests import HTTPConnection

from desk.identity import Person
from desk.seals import Seal

IDLE: Final = timedelta(minutes=30)
LONGEST: Final = timedelta(hours=8)
RENEWED_AFTER: Final = timedelta(minutes=1)
"""How old the moment in the cookie may be before an act of the person writes it again."""

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Session:
    """A session that has not ended."""

    person: Person
    seen_at: datetime


def name_cookie(name: str, *, secure: bool) -> str:
    """Name a cookie of this host alone.

    A browser takes the prefix only over HTTPS. Over plain HTTP, which the settings allow on loopback alone, there is
    none.
    """
    return f"__Host-{name}" if secure else name


def write_cookie(name: str, value: str, *, secure: bool) -> str:
    """Write a ``Set-Cookie`` header; an empty value takes the cookie away."""
    attributes = "; Path=/; HttpOnly; SameSite=Lax" + "; Secure" * secure + "; Max-Age=0" * (not value)
    return f"{name_cookie(name, secure=secure)}={value}{attributes}"


class Sessions:
    """Reads and writes sessions."""

    def __init__(self, secrets: Sequence[str], clock: Callable[[], datetime], *, secure: bool) -> None:
        """Take what sessions depend on.

        Args:
            secrets: the first one signs; sessions of the others go on.
            clock: the time, with zone.
            secure: whether people reach the desk over HTTPS.
        """
        self._seal = Seal(secrets, "session")
        self._clock = clock
        self._secure = secure

    def find(self, connection: HTTPConnection) -> Session | None:
        """Find the session of a request; ``None`` if there is none, or it has ended."""
        values = self._seal.open(connection.cookies.get(name_cookie("desk", secure=self._secure), ""))
        if values is None:
            return None
        signed_in_at, seen_at = (datetime.fromtimestamp(values[key], UTC) for key in ("signed_in_at", "seen_at"))
        now = self._clock()
        if now - seen_at > IDLE or now - signed_in_at > LONGEST:
            return None
        return Session(Person(values["user"], values["issuer"], values["subject"], signed_in_at), seen_at)

    def write(self, person: Person) -> str:
        """Write the ``Set-Cookie`` header for a person who is here now."""
        values = {
            "user": person.user,
            "issuer": person.issuer,
            "subject": person.subject,
            "signed_in_at": int(person.signed_in_at.timestamp()),
            "seen_at": int(self._clock().timestamp()),
        }
        return write_cookie("desk", self._seal.close(values), secure=self._secure)

    def renew(self, session: Session, connection: HTTPConnection) -> str | None:
        """Write the cookie again after an act of the person; ``None`` where that is not needed."""
        is_due = self._clock() - session.seen_at > RENEWED_AFTER
        return self.write(session.person) if is_due and _is_act(connection) else None

    def end(self) -> str:
        """Write the ``Set-Cookie`` header that takes the session away."""
        return write_cookie("desk", "", secure=self._secure)


def _is_act(connection: HTTPConnection) -> bool:
    """Tell what a person does from what a page that was left open does by itself, which keeps no session alive.

    A page that polls or reloads itself has no ``Sec-Fetch-User``. A browser that sends no such headers is believed.
    """
    headers = connection.headers
    if connection.scope["method"] not in SAFE_METHODS or "sec-fetch-mode" not in headers:
        return True
    return headers.get("sec-fetch-user") == "?1"
