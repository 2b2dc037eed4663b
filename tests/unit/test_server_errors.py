"""Why a server cannot be used, in words with its host and port and what to do."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from aiokafka.errors import IllegalSaslStateError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from outbox.database import DatabaseDown
from worker.database_errors import describe_database_error
from worker.kafka.connection import KafkaConnection
from worker.kafka.server_errors import Login, ServerDown, describe_server_error

URL = "postgresql://bridge:secret@db.example:5432/budgets"


async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


@asynccontextmanager
async def listen(tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    server = await asyncio.start_server(close_at_once, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def find_problem(server: str, protocol: str = "PLAINTEXT", cafile: Path | None = None) -> str:
    connection = KafkaConnection(server, security_protocol=protocol, ssl_cafile=str(cafile) if cafile else None)
    with pytest.raises(ServerDown) as down:
        await connection.find_server()
    [problem] = down.value.problems
    assert server in problem.found
    assert problem.to_do
    return str(problem)


def make_certificate(folder: Path, name: str, subject: str) -> tuple[Path, Path]:
    """A certificate that signs itself: its file and its key's."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    options = f"-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {key} -out {certificate}"
    named = ["-subj", "/CN=test", "-addext", f"subjectAltName={subject}"]
    subprocess.run(["openssl", "req", *options.split(), *named], check=True, capture_output=True)
    return certificate, key


def serve_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_a_kafka_server_that_nobody_runs_or_that_has_no_address() -> None:
    assert "127.0.0.1:1 refuses the connection: start it, or fix KAFKA_BOOTSTRAP" in await find_problem("127.0.0.1:1")
    assert "host name of no.invalid:9092 cannot be resolved" in await find_problem("no.invalid:9092")


async def test_a_listener_with_another_protocol() -> None:
    async with listen() as server:
        assert "closed the connection; it may expect TLS" in await find_problem(server)
        assert "KAFKA_SECURITY_PROTOCOL" in await find_problem(server, "SSL")


async def test_certificates(tmp_path: Path) -> None:
    ours = make_certificate(tmp_path, "ours", "IP:127.0.0.1")
    other_host = make_certificate(tmp_path, "other", "DNS:elsewhere.example")
    async with listen(serve_tls(*ours)) as server:
        assert "is not signed by a trusted CA" in await find_problem(server, "SSL", other_host[0])
    async with listen(serve_tls(*other_host)) as server:
        assert "is for another host" in await find_problem(server, "SSL", other_host[0])


async def test_a_certificate_file_that_is_renewed_is_read_and_one_that_is_gone_is_named(tmp_path: Path) -> None:
    ours, key = make_certificate(tmp_path, "ours", "IP:127.0.0.1")
    ca = tmp_path / "ca.pem"
    ca.write_bytes(make_certificate(tmp_path, "old", "IP:127.0.0.1")[0].read_bytes())
    async with listen(serve_tls(ours, key)) as server:
        connection = KafkaConnection(server, security_protocol="SSL", ssl_cafile=str(ca))
        with pytest.raises(ServerDown, match="is not signed by a trusted CA"):
            await connection.find_server()
        ca.write_bytes(ours.read_bytes())
        with pytest.raises(ServerDown, match="closed the connection"):
            await connection.find_server()
        ca.unlink()
        with pytest.raises(ServerDown, match=r"there is no file .*ca\.pem: correct the path"):
            await connection.find_server()


def fail_to_verify(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_code, error.verify_message = code, message
    return error


def refuse_by_alert(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (fail_to_verify(10, "certificate has expired"), "has expired: renew it"),
        (fail_to_verify(62, "Hostname mismatch"), "is for another host"),
        (refuse_by_alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "without a client certificate"),
        (SaslAuthenticationFailed("no"), "refuses the user name or password of bridge: check KAFKA_SASL_USERNAME"),
        (UnsupportedSaslMechanismError("no"), "does not support the mechanism PLAIN"),
        (IllegalSaslStateError("no"), "does not expect a login"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "refuses the connection"),
        (OSError(101, "Network is unreachable"), "cannot be reached (Network is unreachable)"),
        (TimeoutError(), "does not answer"),
        (AssertionError("odd"), "failed: AssertionError: odd"),
    ],
)
def test_why_a_kafka_server_cannot_be_used(cause: Exception, words: str) -> None:
    login = Login("SASL_SSL", "PLAIN", "bridge", has_certificate=False)
    problem = str(describe_server_error("kafka-1:9093", login, cause))
    assert "kafka-1:9093" in problem
    assert words in problem


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (asyncpg.InvalidPasswordError("password authentication failed"), "refuses the password of role bridge"),
        (asyncpg.InvalidAuthorizationSpecificationError("no pg_hba.conf entry"), "refuses role bridge"),
        (asyncpg.InvalidCatalogNameError("x"), "has no database budgets"),
        (asyncpg.TooManyConnectionsError("sorry"), "has no connection left"),
        (asyncpg.CannotConnectNowError("starting up"), "is not ready"),
        (asyncpg.ReadOnlySQLTransactionError("x"), "is read-only"),
        (ConnectionRefusedError(111, "Connection refused"), "refuses the connection"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "refuses the connection"),
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved"),
        (TimeoutError(), "does not answer"),
        (ValueError("odd"), "failed: it is down"),
    ],
)
def test_why_the_database_cannot_be_used(cause: Exception, words: str) -> None:
    down = DatabaseDown("it is down")
    down.__cause__ = cause
    problem = describe_database_error(URL, down)
    assert "db.example:5432" in problem.found
    assert words in problem.found
    assert problem.to_do
    assert "secret" not in str(problem)
