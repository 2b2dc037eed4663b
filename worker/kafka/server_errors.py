"""Describes why a Kafka server cannot be used: host, port, reason and what to do."""

import socket
import ssl
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from worker.error_causes import is_connection_refused, list_causes
from worker.kafka.errors import KafkaDown, describe_error
from worker.kafka.oauth import TokenUnavailable

_EXPIRED: Final = 10
_OTHER_HOST: Final = frozenset({62, 64})
"""OpenSSL's numbers for an expired certificate, and for one of another host or address."""

_CHECK_PROTOCOL: Final = "check that KAFKA_SECURITY_PROTOCOL is what the listener at this port expects"


class Login(NamedTuple):
    """How a client introduces itself to a server."""

    security_protocol: str
    sasl_mechanism: str
    username: str | None
    has_certificate: bool


class ServerProblem(NamedTuple):
    """Why a server cannot be used, and what to do about it."""

    found: str
    to_do: str

    def __str__(self) -> str:
        return f"{self.found}: {self.to_do}"


class ServerDown(KafkaDown):
    """No server can be used; ``problems`` has one entry for each."""

    def __init__(self, problems: Sequence[ServerProblem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = tuple(problems)


def describe_server_error(server: str, login: Login, error: BaseException) -> ServerProblem:
    """Describe why one server cannot be used.

    Args:
        server: its host and port.
        login: how the client logged in to it.
        error: what was raised.

    Returns:
        What was found, and what to do.
    """
    causes = list(list_causes(error))
    # The login first: what keeps a token away may be TLS as well, of another server.
    for describe in (_describe_login, _describe_tls, _describe_network):
        for cause in causes:
            if problem := describe(server, login, cause):
                return problem
    return ServerProblem(f"{server} failed: {describe_error(error)}", "check the log of the broker")


def _describe_tls(server: str, login: Login, cause: BaseException) -> ServerProblem | None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _describe_certificate(server, cause)
    if not isinstance(cause, ssl.SSLError):
        return None
    reason = (cause.reason or str(cause)).replace("_", " ").lower()
    if "alert" not in reason:
        return ServerProblem(f"{server} does not speak TLS ({reason})", _CHECK_PROTOCOL)
    if login.has_certificate:
        to_do = "check that the broker trusts the CA that signed KAFKA_SSL_CERTFILE"
        return ServerProblem(f"{server} refuses the client certificate ({reason})", to_do)
    to_do = "set KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE to a client certificate"
    return ServerProblem(f"{server} refuses a connection without a client certificate ({reason})", to_do)


def _describe_certificate(server: str, cause: ssl.SSLCertVerificationError) -> ServerProblem:
    if cause.verify_code == _EXPIRED:
        return ServerProblem(f"the certificate of {server} has expired", "renew it on the broker")
    if cause.verify_code in _OTHER_HOST:
        to_do = "use the name that the certificate has in KAFKA_BOOTSTRAP and advertised.listeners, or replace it"
        return ServerProblem(f"the certificate of {server} is for another host", to_do)
    found = f"the certificate of {server} is not signed by a trusted CA ({cause.verify_message})"
    return ServerProblem(found, "set KAFKA_SSL_CAFILE to the CA that signed it")


def _describe_login(server: str, login: Login, cause: BaseException) -> ServerProblem | None:
    if isinstance(cause, UnsupportedSaslMechanismError):
        found = f"{server} does not support the mechanism {login.sasl_mechanism}"
        return ServerProblem(found, "set KAFKA_SASL_MECHANISM to one that the broker has enabled")
    if isinstance(cause, TokenUnavailable):
        return ServerProblem(cause.found, cause.to_do)
    if isinstance(cause, SaslAuthenticationFailed) and login.sasl_mechanism == "OAUTHBEARER":
        found = f"{server} refuses the token of client {login.username}"
        return ServerProblem(found, "check that KAFKA_OAUTH_SCOPE gives it the audience and issuer that Kafka expects")
    if isinstance(cause, SaslAuthenticationFailed):
        found = f"{server} refuses the user name or password of {login.username}"
        return ServerProblem(found, "check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD")
    if isinstance(cause, IllegalSaslStateError):
        return ServerProblem(f"{server} does not expect a login", _CHECK_PROTOCOL)
    return None


def _describe_network(server: str, login: Login, cause: BaseException) -> ServerProblem | None:
    host = server.rpartition(":")[0]
    if isinstance(cause, socket.gaierror):
        return ServerProblem(
            f"the host name of {server} cannot be resolved", f"check {host} in KAFKA_BOOTSTRAP and DNS"
        )
    if is_connection_refused(cause):
        return ServerProblem(f"{server} refuses the connection", "start it, or fix KAFKA_BOOTSTRAP")
    if isinstance(cause, TimeoutError):
        to_do = "check that it runs, that KAFKA_BOOTSTRAP is right, and that no firewall is in between"
        return ServerProblem(f"{server} does not answer", to_do)
    if isinstance(cause, (KafkaConnectionError, ConnectionError)):
        wants_tls = "" if login.security_protocol.endswith("SSL") else "; it may expect TLS"
        return ServerProblem(f"{server} closed the connection{wants_tls}", _CHECK_PROTOCOL)
    if isinstance(cause, OSError):
        return ServerProblem(
            f"{server} cannot be reached ({cause.strerror or cause})", "check the network and KAFKA_BOOTSTRAP"
        )
    return None
