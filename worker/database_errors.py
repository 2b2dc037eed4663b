"""Describes why a database cannot be used: host, reason and what to do."""

import socket
import ssl
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from outbox.database import DatabaseDown, RightMissing
from worker.error_causes import is_connection_refused, list_causes


class DatabaseProblem(NamedTuple):
    """Why a database cannot be used, and what to do about it."""

    found: str
    to_do: str

    def __str__(self) -> str:
        return f"{self.found}: {self.to_do}"


_BY_SQLSTATE: Final[Mapping[str, tuple[str, str]]] = {
    "28P01": ("refuses the password of role {role}", "check the user and the password in DATABASE_URL"),
    "28000": ("refuses role {role} ({reason})", "check the user in DATABASE_URL, and pg_hba.conf of the server"),
    "3D000": ("has no database {name}", "create it, or fix the name in DATABASE_URL"),
    "42501": (
        "does not permit this ({reason})",
        "grant it to role {role}: docs/security.md lists what each role needs",
    ),
    "53300": ("has no connection left ({reason})", "raise max_connections, or stop what uses them"),
    "57P03": ("is not ready ({reason})", "wait until it has started"),
    "25006": ("is read-only", "point DATABASE_URL at the primary"),
    "53100": ("has no disk space left ({reason})", "free some"),
}
"""By PostgreSQL's error codes."""


def describe_database_error(url: str, down: DatabaseDown) -> DatabaseProblem:
    """Describe why the database failed.

    Args:
        url: the DATABASE_URL; its password is not shown.
        down: the failure.

    Returns:
        What was found and what to do.
    """
    if isinstance(down, RightMissing):
        return DatabaseProblem(down.found, down.to_do)
    parts = urlsplit(url)
    server = f"the database at {parts.netloc.rpartition('@')[2] or 'the default address'}"
    for cause in list_causes(down):
        if known := _BY_SQLSTATE.get(getattr(cause, "sqlstate", None) or ""):
            role, name = unquote(parts.username or "(default)"), parts.path.strip("/") or "(default)"
            found, to_do = (text.format(role=role, name=name, reason=str(cause)) for text in known)
            return DatabaseProblem(f"{server} {found}", to_do)
        if problem := _describe_network(server, cause):
            return problem
    return DatabaseProblem(f"{server} failed: {down}", "check its log")


def _describe_network(server: str, cause: BaseException) -> DatabaseProblem | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        to_do = "check sslrootcert and the host in DATABASE_URL, and the certificate of the server"
        return DatabaseProblem(f"the certificate of {server} is not accepted ({cause.verify_message})", to_do)
    if isinstance(cause, ssl.SSLError):
        return DatabaseProblem(f"TLS with {server} failed ({cause.reason})", "check sslmode and the certificates")
    if isinstance(cause, socket.gaierror):
        return DatabaseProblem(f"the host name of {server} cannot be resolved", "check DATABASE_URL and DNS")
    if is_connection_refused(cause):
        return DatabaseProblem(f"{server} refuses the connection", "start it, or fix DATABASE_URL")
    if isinstance(cause, TimeoutError):
        to_do = "check that it runs, that DATABASE_URL is right, and that no firewall is in between"
        return DatabaseProblem(f"{server} does not answer", to_do)
    return None
