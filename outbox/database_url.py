"""Checks ``DATABASE_URL``: which of libpq's parameters are accepted, and which are refused by name.

asyncpg passes parameters that it does not know on to the server as settings, and the server then refuses the
connection.
"""

from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

_TAKEN_BY_ASYNCPG: Final = frozenset(
    {
        "host",
        "port",
        "dbname",
        "database",
        "user",
        "password",
        "passfile",
        "sslmode",
        "sslcert",
        "sslkey",
        "sslrootcert",
        "sslnegotiation",
        "sslcrl",
        "sslpassword",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "target_session_attrs",
        "krbsrvname",
        "gsslib",
        "service",
    }
)
_SERVER_SETTINGS: Final = frozenset({"options"})
"""Passed on to the server. All other server settings are set by ``connect``."""

_NOT_NEEDED: Final = frozenset(
    {
        "application_name",
        "fallback_application_name",
        "client_encoding",
        "gssencmode",
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
    }
)
"""Accepted without effect: ``connect`` sets names and encoding, and every statement has a time limit of its own."""


class DatabaseUrlError(ValueError):
    """``DATABASE_URL`` cannot be used; the message names the part of it."""


class DatabaseUrl(NamedTuple):
    """A checked ``DATABASE_URL``."""

    url: str
    """The URL that asyncpg receives."""
    server: str
    """Host and port, for messages; never the password."""
    connect_seconds: float | None
    """``connect_timeout`` of the URL, in seconds; ``None`` where it has none."""


def parse_database_url(url: str) -> DatabaseUrl:
    """Check a URL, and remove the parameters that asyncpg does not know.

    Raises:
        DatabaseUrlError: a parameter is not supported or has an impossible value, or this is no URL.
    """
    try:
        parts = urlsplit(url)
        parameters = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        # The text of the error may hold the password.
        message = 'a URL such as "postgresql://user:password@host:5432/name" is expected'
        raise DatabaseUrlError(message) from None
    kept: list[tuple[str, str]] = []
    seconds: float | None = None
    for name, value in parameters:
        if name == "connect_timeout":
            seconds = _read_seconds(value)
        elif name in _TAKEN_BY_ASYNCPG | _SERVER_SETTINGS:
            kept.append((name, value))
        elif name == "channel_binding":
            _check_channel_binding(value)
        elif name not in _NOT_NEEDED:
            message = f"its parameter {name!r} is not known: leave it out"
            raise DatabaseUrlError(message)
    given = dict(kept)
    server = parts.netloc.rpartition("@")[2] or given.get("host", "")
    if server and ":" not in server.rpartition("]")[2]:
        server = f"{server}:{given.get('port', '5432')}"
    return DatabaseUrl(urlunsplit(parts._replace(query=urlencode(kept))), server or "the default host", seconds)


def _read_seconds(value: str) -> float | None:
    if not (value.isascii() and value.isdigit()):
        message = f"its parameter 'connect_timeout' is not a number of seconds: {value!r}"
        raise DatabaseUrlError(message)
    # As in libpq, 0 means the default.
    return float(value) or None


def _check_channel_binding(value: str) -> None:
    if value not in {"disable", "prefer"}:
        message = (
            f"its parameter 'channel_binding={value}' is not supported by the driver: leave it out, and use "
            "sslmode=verify-full with sslrootcert, which protects against the same attack"
        )
        raise DatabaseUrlError(message)
