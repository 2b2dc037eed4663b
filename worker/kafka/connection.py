"""How Kafka is reached: the options of every client, and which of the bootstrap servers answers now.

A server that accepts connections and never answers must cost seconds, not minutes. So all servers are tried at once
before a client starts, and the client gets the first that answers.
"""

import asyncio
import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from aiokafka.conn import create_conn
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.admin import ApiVersionRequest

from outbox.tls_files import TlsFileError, check_ca_file, check_key_pair
from worker.kafka.errors import FAULTS, Access
from worker.kafka.oauth import ClientCredentials
from worker.kafka.server_errors import Login, ServerDown, ServerProblem, describe_server_error
from worker.settings import KafkaSettings

SERVER_SECONDS: Final = 5.0
"""Longest that one server may take to answer one request, unless the request waits for others."""

REQUEST_SECONDS: Final = 20.0
"""Longest that one question to Kafka may take in total, including the search for a coordinator."""


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """How Kafka is reached."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    tokens: ClientCredentials | None = field(default=None, repr=False)
    """Where tokens come from, for OAUTHBEARER; shared by all clients."""
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    @property
    def servers(self) -> list[str]:
        """The bootstrap servers, each as ``host:port``."""
        return self.bootstrap_servers.split(",")

    @property
    def user(self) -> str:
        """What to call whoever logs in."""
        if self.security_protocol.startswith("SASL"):
            return self.tokens.client_id if self.tokens else self.sasl_username or ""
        return "of KAFKA_SSL_CERTFILE" if self.ssl_certfile else "ANONYMOUS"

    def access(self, operation: Literal["Read", "Write", "Create", "Describe"], *names: str) -> Access:
        """Describe what this user does, to name the ACL where it may not."""
        return Access(self.user, operation, names)

    def list_options(self) -> dict[str, Any]:
        """List the options with which every client of aiokafka is made."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "request_timeout_ms": int(SERVER_SECONDS * 1000),
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
                "sasl_oauth_token_provider": self.tokens,
            }
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = self._read_certificates()
        return options

    def _read_certificates(self) -> ssl.SSLContext:
        """Read the certificate files, for each client again: they may have been renewed, or be gone."""
        try:
            if self.ssl_cafile:
                check_ca_file(Path(self.ssl_cafile))
            if self.ssl_certfile:
                check_key_pair(Path(self.ssl_certfile), Path(self.ssl_keyfile) if self.ssl_keyfile else None)
        except TlsFileError as error:
            found, _, to_do = str(error).rpartition(": ")
            raise ServerDown([ServerProblem(f"KAFKA_SSL_…FILE: {found}", to_do)]) from error
        context: ssl.SSLContext = create_ssl_context(
            cafile=self.ssl_cafile, certfile=self.ssl_certfile, keyfile=self.ssl_keyfile
        )
        return context

    async def find_server(self) -> "KafkaConnection":
        """Find the bootstrap server that answers first.

        Returns:
            This connection with that server alone.

        Raises:
            ServerDown: none answers within ``SERVER_SECONDS``; it has the problem of each server.
        """
        tasks = {asyncio.create_task(self.ask_server(server)): server for server in self.servers}
        waiting = set(tasks)
        problems: list[ServerProblem] = []
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is None:
                        return replace(self, bootstrap_servers=tasks[task])
                    if not isinstance(error, ServerDown):
                        raise error
                    problems.extend(error.problems)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        raise ServerDown(sorted(problems))

    async def ask_server(self, server: str) -> list[int]:
        """Ask one server which requests it supports.

        A client would hide why this one does not answer, and ask any broker of the cluster.

        Returns:
            The numbers of the requests in Kafka's protocol.

        Raises:
            ServerDown: it does not answer within ``SERVER_SECONDS``; it has the problem, with what to do.
        """
        options = self.list_options()
        del options["bootstrap_servers"]
        host, _, port = server.rpartition(":")
        try:
            async with asyncio.timeout(SERVER_SECONDS):
                connection = await create_conn(host.strip("[]"), int(port), **options)
                try:
                    answer = await connection.send(ApiVersionRequest())
                finally:
                    connection.close()
        except FAULTS as error:
            login = Login(self.security_protocol, self.sasl_mechanism, self.user, bool(self.ssl_certfile))
            raise ServerDown([describe_server_error(server, login, error)]) from error
        return [key for key, _, _ in answer.api_versions]


def connect_kafka(settings: KafkaSettings) -> KafkaConnection:
    """Build the connection that the settings describe; nothing is opened yet."""
    password = settings.kafka_sasl_password
    files = (settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)
    cafile, certfile, keyfile = (str(file) if file else None for file in files)
    return KafkaConnection(
        bootstrap_servers=settings.kafka_bootstrap,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=password.get_secret_value() if password else None,
        tokens=_get_tokens(settings),
        ssl_cafile=cafile,
        ssl_certfile=certfile,
        ssl_keyfile=keyfile,
    )


def _get_tokens(settings: KafkaSettings) -> ClientCredentials | None:
    url, secret = settings.kafka_oauth_token_url, settings.kafka_oauth_client_secret
    if settings.kafka_sasl_mechanism != "OAUTHBEARER" or url is None or secret is None:
        return None
    client_id = settings.kafka_oauth_client_id or ""
    return ClientCredentials(url, client_id, secret.get_secret_value(), settings.kafka_oauth_scope)
