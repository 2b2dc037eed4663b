"""How errors of Postgres are classified and worded: only wrong data may put a budget on hold."""

import ssl
import sys
from typing import cast
from unittest.mock import MagicMock

import asyncpg
import pytest

from outbox.database import (
    Connection,
    DatabaseDown,
    DatabaseMisusedError,
    DatabaseRefused,
    DataRefusedError,
    connect,
    translate_errors,
)
from outbox.database_url import DatabaseUrlError, parse_database_url
from outbox.sqlstates import is_refusal, is_wrong_data

SERVER_ERRORS = sorted(
    (
        kind
        for kind in vars(asyncpg.exceptions).values()
        if isinstance(kind, type) and issubclass(kind, asyncpg.PostgresError)
    ),
    key=lambda kind: (kind.sqlstate or "", kind.__name__),
)
URL = "postgresql://ann:secret@db.example:5433/bridge"


class Session:
    """A session of which only is asked whether it is closed."""

    def __init__(self, *, closed: bool = False) -> None:
        self.closed = closed

    def is_closed(self) -> bool:
        return self.closed


async def translate(error: BaseException, *, closed: bool = False) -> BaseException:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - which one is what is asked
        async with translate_errors(cast("Connection", Session(closed=closed))):
            raise error
    return raised.value


@pytest.mark.parametrize("kind", SERVER_ERRORS, ids=lambda kind: f"{kind.sqlstate}-{kind.__name__}")
async def test_of_all_errors_of_a_server_only_these_classes_say_that_data_is_wrong(
    kind: type[asyncpg.PostgresError],
) -> None:
    state = kind.sqlstate or ""
    expected = DataRefusedError if state[:2] in {"21", "22", "23", "54"} else DatabaseDown
    found = await translate(kind("x"))
    assert isinstance(found, expected)
    assert isinstance(found, DatabaseRefused) == (state[:2] in {"28", "3D"} or state == "42501")
    assert "x" in str(found)


@pytest.mark.parametrize(
    "kind",
    [
        asyncpg.LockNotAvailableError,
        asyncpg.QueryCanceledError,
        asyncpg.DeadlockDetectedError,
        asyncpg.DiskFullError,
        asyncpg.UndefinedTableError,
        asyncpg.ReadOnlySQLTransactionError,
        asyncpg.AdminShutdownError,
        asyncpg.TooManyConnectionsError,
    ],
)
def test_the_world_is_never_taken_for_wrong_data(kind: type[asyncpg.PostgresError]) -> None:
    assert not is_wrong_data(kind("x"))
    assert not is_refusal(kind("x"))


async def test_a_lost_connection_and_a_mistake_of_ours_are_distinguished() -> None:
    lost = await translate(asyncpg.InterfaceError("connection is closed"), closed=True)
    assert isinstance(lost, DatabaseDown)
    mistake = await translate(asyncpg.InterfaceError("another operation is in progress"))
    assert isinstance(mistake, DatabaseMisusedError)
    assert isinstance(await translate(asyncpg.InternalClientError("x")), DatabaseMisusedError)
    value = await translate(asyncpg.DataError("invalid input for query argument $9: value out of int32 range"))
    assert isinstance(value, DataRefusedError)


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (
            asyncpg.InvalidPasswordError('password authentication failed for user "ann"'),
            DatabaseRefused,
            "Postgres at db.example:5433 refuses the user or password: .*SQLSTATE 28P01.*correct DATABASE_URL",
        ),
        (asyncpg.InvalidCatalogNameError("no database x"), DatabaseRefused, "refuses the connection: no database x"),
        (
            asyncpg.UndefinedObjectError('unrecognized configuration parameter "transaction_timeout"'),
            DatabaseRefused,
            "PostgreSQL 17 or later is needed",
        ),
        (asyncpg.UndefinedObjectError('unrecognized configuration parameter "x"'), DatabaseDown, "does not accept"),
        (asyncpg.TooManyConnectionsError("sorry"), DatabaseDown, "db.example:5433 does not accept a connection: sorry"),
        (
            ConnectionRefusedError(111, "Connection refused"),
            DatabaseDown,
            "^Postgres at db.example:5433 does not answer: Connection refused: start it, or correct DATABASE_URL$",
        ),
        (TimeoutError(), DatabaseDown, "does not answer: no answer in time"),
        (ssl.SSLCertVerificationError(1, "self-signed"), DatabaseDown, "no TLS connection .*: self-signed: check"),
        (asyncpg.ClientConfigurationError("sslmode"), DatabaseRefused, "refuses the connection: sslmode"),
        (ValueError("secret"), DatabaseRefused, "cannot be used: ValueError$"),
    ],
)
async def test_no_session_is_described_with_the_server_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[DatabaseDown], says: str
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(asyncpg, "connect", refuse)
    with pytest.raises(kind, match=says) as raised:
        await connect(URL)
    assert "secret" not in str(raised.value)
    assert type(raised.value) is kind


async def test_what_a_server_may_have_as_default_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}
    session = MagicMock()

    async def take(url: str, **settings: object) -> object:
        asked.update(settings, url=url)
        return session

    monkeypatch.setattr(asyncpg, "connect", take)
    await connect(f"{URL}?sslmode=verify-full&connect_timeout=2&keepalives=1&keepalives_idle=30&channel_binding=prefer")
    assert asked["url"] == f"{URL}?sslmode=verify-full"
    assert asked["timeout"] == 2.0
    settings = asked["server_settings"]
    assert isinstance(settings, dict)
    assert settings["search_path"] == "public, pg_temp"
    assert settings["lock_timeout"] == settings["statement_timeout"] == "0"
    assert settings["transaction_timeout"] == "6s"
    # A COPY that had to wait until it may write could wait for good.
    session._transport.set_write_buffer_limits.assert_called_once_with(high=sys.maxsize)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ("channel_binding=require", "channel_binding=require"),
        ("sslmdoe=require", "'sslmdoe' is not known"),
        ("connect_timeout=soon", "'connect_timeout' is not a number of seconds"),
        ("lock_timeout=1s", "'lock_timeout'"),
    ],
)
async def test_a_parameter_that_cannot_be_honoured_is_named(parameters: str, says: str) -> None:
    with pytest.raises(DatabaseUrlError, match=says):
        parse_database_url(f"{URL}?{parameters}")
    with pytest.raises(DatabaseRefused, match=says):
        await connect(f"{URL}?{parameters}")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        (URL, "db.example:5433"),
        ("postgresql://ann:se%40cret@db.example/x", "db.example:5432"),
        ("postgres://a,b:5433/x?sslmode=require", "a:5432 b:5433"),
        ("postgresql://[::1]/x", "[::1]:5432"),
        ("postgresql://[::1]:5433/x", "[::1]:5433"),
        ("postgresql:///x?host=/var/run/postgresql&user=ann", "/var/run/postgresql:5432"),
        ("postgresql:///x", "the default host"),
    ],
)
def test_a_server_is_named_without_its_password(url: str, server: str) -> None:
    assert " ".join(parse_database_url(url).servers) == server
