"""Checks ``DATABASE_URL``: which of libpq's parameters are accepted, and which are refused by name.

asyncpg takes a parameter that it does not know for a setting of the server, which then refuses the connection. And it
tries several hosts one after the other within one time limit, so each host gets a URL of its own here.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from outbox.tls_files import TlsFileError, check_ca_file, check_key_pair

ANY_SERVER: Final = "the default host"
"""How the server is named where ``DATABASE_URL`` leaves it to the environment."""

_SERVER: Final = re.compile(r"([^:\[\]@,]*|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?")

_MAX_PORT: Final = 65_535

_ESCAPE: Final = "write %40 for @, %2F for /, %23 for #, %3F for ?, %5B for [ and %25 for % in user and password"

_NO_ESCAPE: Final = re.compile(r"%(?![0-9a-fA-F]{2})")
_HOST_IN_QUERY: Final = re.compile(r"@[^&=@]*/")
"""What a query has where it begins with a '?' of the password: the host and the database."""

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


_FILES: Final = ("sslrootcert", "sslcrl", "sslcert", "sslkey")
_TLS_VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    # A standby takes nothing, so no connection to one is asked for.
    "target_session_attrs": ("any", "primary", "read-write"),
}
"""The values of parameters that take only some."""


class DatabaseUrlError(ValueError):
    """``DATABASE_URL`` cannot be used; the message names the part of it."""


class DatabaseUrl(NamedTuple):
    """A checked ``DATABASE_URL``."""

    urls: tuple[str, ...]
    """What asyncpg is given, one for each host, in the order in which they are named."""
    servers: tuple[str, ...]
    """Host and port of each, for messages; never the password."""
    connect_seconds: float | None
    """``connect_timeout`` for each host, where the URL has one."""
    options: Mapping[str, str]
    """Its parameters."""


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
        parts, parameters = SplitResult("", "", "", "", ""), []
    if parts.scheme not in {"postgres", "postgresql"}:
        message = f'a URL such as "postgresql://user:password@host:5432/name" is expected: {_ESCAPE}'
        raise DatabaseUrlError(message)
    _check_escapes(parts)
    kept: dict[str, str] = {}
    seconds: float | None = None
    for name, value in parameters:
        if name == "connect_timeout":
            seconds = _read_seconds(value)
        elif name in _TAKEN_BY_ASYNCPG | _SERVER_SETTINGS:
            _check_value(name, value)
            kept[name] = value
        elif name == "channel_binding":
            _check_channel_binding(value)
        elif name not in _NOT_NEEDED:
            message = f"its parameter {name!r} is not known: leave it out"
            raise DatabaseUrlError(message)
    servers = _list_servers(parts, kept)
    login, at, _ = parts.netloc.rpartition("@")
    query = {name: value for name, value in kept.items() if name not in {"host", "port"}}
    urls = [
        urlunsplit(parts._replace(netloc=f"{login}{at}{server}", query=urlencode(query)))
        if not server.startswith("/")
        else urlunsplit(parts._replace(netloc=f"{login}{at}", query=urlencode(query | _name_socket(server))))
        for server in servers
    ]
    if not servers:
        urls = [urlunsplit(parts._replace(query=urlencode(kept)))]
    return DatabaseUrl(tuple(urls), tuple(servers) or (ANY_SERVER,), seconds, kept)


def _check_escapes(parts: SplitResult) -> None:
    """Check that user and password end where they seem to: else the rest of a password is taken for a host, and shown.

    libpq takes the first ``@`` for the end of the password, and others the last.
    """
    login, at, _ = parts.netloc.rpartition("@")
    found = {
        "#": bool(parts.fragment),
        "/": "@" in parts.path,
        "?": not at and bool(_HOST_IN_QUERY.search(parts.query)),
        "@": "@" in login,
        "%": bool(_NO_ESCAPE.search(login)),
    }
    for character, is_found in found.items():
        if is_found:
            message = f"it has a '{character}' that is not escaped: {_ESCAPE}"
            raise DatabaseUrlError(message)


def check_tls_files(address: DatabaseUrl, environment: Mapping[str, str]) -> None:
    """Check the certificate files that a URL, or a variable such as ``PGSSLROOTCERT`` in its place, names.

    Raises:
        DatabaseUrlError: one cannot be used.
    """
    found = {name: _find_option(address, environment, name) for name in _FILES}
    for name in ("sslrootcert", "sslcrl"):
        label, file = found[name]
        if file:
            _check_files(label, partial(check_ca_file, Path(file)))
    (label, certificate), (_, key) = found["sslcert"], found["sslkey"]
    if certificate:
        password = address.options.get("sslpassword", "")
        check = partial(check_key_pair, Path(certificate), Path(key) if key else None, password)
        _check_files(f"{label} and sslkey", check)
    _, mode = _find_option(address, environment, "sslmode")
    if mode.startswith("verify") and not found["sslrootcert"][1] and not _has_default_ca():
        message = f"sslmode={mode} needs the certificate of a CA: add sslrootcert=FILE to it"
        raise DatabaseUrlError(message)


def _find_option(address: DatabaseUrl, environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """Find an option in the URL or the environment, as libpq does; returns how to name it, and its value."""
    variable = f"PG{name.upper()}"
    if name in address.options or not environment.get(variable):
        return name, address.options.get(name, "")
    return variable, environment[variable]


def _check_files(label: str, check: Callable[[], None]) -> None:
    try:
        check()
    except TlsFileError as error:
        message = f"{label}: {error}"
        raise DatabaseUrlError(message) from error


def _has_default_ca() -> bool:
    try:
        return (Path.home() / ".postgresql" / "root.crt").is_file()
    except RuntimeError:
        return False


def _list_servers(parts: SplitResult, given: Mapping[str, str]) -> list[str]:
    """List host and port of each server that the URL names; none where it leaves that to the environment."""
    named = parts.netloc.rpartition("@")[2]
    hosts = (named or given.get("host", "")).split(",")
    if hosts == [""]:
        return []
    ports = given.get("port", "5432").split(",")
    if len(ports) not in {1, len(hosts)} or not all(port.isascii() and port.isdigit() for port in ports):
        message = f"its parameter 'port' is not a port, or one for each of the {len(hosts)} hosts"
        raise DatabaseUrlError(message)
    servers = []
    for number, host in enumerate(hosts):
        if not host.startswith("/") and not _SERVER.fullmatch(host):
            message = f"its host and port cannot be read: {_ESCAPE}"
            raise DatabaseUrlError(message)
        own = host.rpartition("]")[2].partition(":")[2] if not host.startswith("/") else ""
        port = own or ports[number % len(ports)]
        if not 1 <= int(port) <= _MAX_PORT:
            message = f"port {port} is none from 1 to {_MAX_PORT}"
            raise DatabaseUrlError(message)
        servers.append(host if own else f"{host or 'localhost'}:{port}")
    return servers


def _name_socket(server: str) -> dict[str, str]:
    folder, _, port = server.rpartition(":")
    return {"host": folder, "port": port}


def _check_value(name: str, value: str) -> None:
    if name in _VALUES and value not in _VALUES[name]:
        message = f"its parameter '{name}={value}' is not one of {', '.join(_VALUES[name])}"
        raise DatabaseUrlError(message)


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
