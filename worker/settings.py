"""Reads settings from the environment: where Kafka, Postgres and the rules are. The core never sees any of them.

Every problem is reported at once, each with the variable that causes it.
"""

import os
import re
import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.topics import TopicNames

_SECRETS: Final = frozenset({"database_url", "kafka_sasl_password"})
"""The settings that can be given as a file, by a variable with ``_FILE`` at its end."""

_TOPIC_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,100}")
_SERVER: Final = re.compile(r"[^\s:,]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}")
_DATABASE_SERVERS: Final = re.compile(r"(([^:\[\]@,]*|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?(,|$))+")

Settings = TypeVar("Settings", bound=BaseSettings)
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class ConfigurationError(Exception):
    """The environment or the files are broken: every problem, one sentence each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _UnreadableFile(NamedTuple):
    """The value of a setting whose file, named by a variable such as ``DATABASE_URL_FILE``, cannot be read."""

    problem: str


class _EnvironmentSettings(BaseSettings):
    """Settings from the environment; a variable that is set to nothing counts as not set, as ``${X:-}`` leaves it."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=False, env_ignore_empty=True)

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, values: dict[str, object]) -> dict[str, object]:
        """Take secrets from the files that ``…_FILE`` variables name, as orchestrators mount them."""
        for name in _SECRETS & cls.model_fields.keys():
            if file := os.environ.get(f"{name}_file".upper()):
                values[name] = (
                    _read_secret(name.upper(), Path(file)) if name not in values else _describe_conflict(name)
                )
        return values


def _read_secret(variable: str, file: Path) -> str | _UnreadableFile:
    try:
        secret = file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        return _UnreadableFile(f"{file} of {variable}_FILE cannot be read: {reason}")
    return secret or _UnreadableFile(f"{file} of {variable}_FILE is empty")


def _describe_conflict(name: str) -> _UnreadableFile:
    return _UnreadableFile(f"it and {name.upper()}_FILE are both set; unset one of them")


def _refuse_unreadable_file(value: object) -> object:
    if isinstance(value, _UnreadableFile):
        raise ValueError(value.problem)  # noqa: TRY004 - pydantic collects ValueErrors
    return value


_Secret = Annotated[SecretStr, BeforeValidator(_refuse_unreadable_file)]


class KafkaSettings(_EnvironmentSettings):
    """How to reach Kafka, and the names of the group and the topics."""

    kafka_bootstrap: str
    kafka_group_id: Annotated[str, Field(min_length=1)] = "budget-bridge"
    topic_prefix: str = ""
    kafka_security_protocol: SecurityProtocol = "PLAINTEXT"
    kafka_sasl_mechanism: SaslMechanism = "PLAIN"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: Annotated[SecretStr | None, BeforeValidator(_refuse_unreadable_file)] = None
    kafka_ssl_cafile: Path | None = None
    kafka_ssl_certfile: Path | None = None
    kafka_ssl_keyfile: Path | None = None
    log_format: Literal["console", "json"] = "console"

    @property
    def topics(self) -> TopicNames:
        """The names of the topics in this deployment."""
        return TopicNames(self.topic_prefix)

    @field_validator("kafka_bootstrap")
    @classmethod
    def _check_servers(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",")]
        if not all(_SERVER.fullmatch(server) for server in servers):
            message = 'a list of servers such as "kafka-1:9092,kafka-2:9092" is expected'
            raise ValueError(message)
        return ",".join(servers)

    @field_validator("topic_prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        if not _TOPIC_PREFIX.fullmatch(value):
            message = "only letters, digits, '.', '_' and '-' can be in a topic's name, and 100 characters at most"
            raise ValueError(message)
        return value

    @field_validator("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile")
    @classmethod
    def _check_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            message = f"there is no file {value}"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _check_sasl(self) -> Self:
        named = self.kafka_sasl_username is not None and self.kafka_sasl_password is not None
        if self.kafka_security_protocol.startswith("SASL_") and not named:
            message = "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD are needed with this KAFKA_SECURITY_PROTOCOL"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _check_certificates(self) -> Self:
        if self.kafka_security_protocol.endswith("SSL"):
            try:
                context = ssl.create_default_context(cafile=self.kafka_ssl_cafile)
                if self.kafka_ssl_certfile:
                    context.load_cert_chain(self.kafka_ssl_certfile, self.kafka_ssl_keyfile)
            except OSError as error:
                message = f"KAFKA_SSL_CAFILE, KAFKA_SSL_CERTFILE or KAFKA_SSL_KEYFILE cannot be used: {error}"
                raise ValueError(message) from error
        return self


class DatabaseSettings(_EnvironmentSettings):
    """How to reach Postgres."""

    database_url: _Secret

    @field_validator("database_url")
    @classmethod
    def _check_url(cls, value: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(value.get_secret_value())
        except ValueError:
            # The message of urlsplit may hold the password.
            parts = None
        if parts is None or parts.scheme not in {"postgres", "postgresql"}:
            message = 'a URL such as "postgresql://user:password@host:5432/name" is expected'
            raise ValueError(message)
        if not _DATABASE_SERVERS.fullmatch(parts.netloc.rpartition("@")[2]):
            message = "its host and port cannot be read: write special characters of a password as %40 and the like"
            raise ValueError(message)
        return value


class RulesSettings(_EnvironmentSettings):
    """Where accounting keeps its rules."""

    rules_dir: Path

    @field_validator("rules_dir")
    @classmethod
    def _check_folder(cls, value: Path) -> Path:
        if not value.is_dir():
            message = f"there is no folder {value}"
            raise ValueError(message)
        return value


class ServerSettings(KafkaSettings, DatabaseSettings):
    """Both servers."""


class HttpSettings(_EnvironmentSettings):
    """Where a process serves its health and its metrics."""

    http_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    http_bind: str = "0.0.0.0"  # noqa: S104 - see below
    """Where it listens: by default on every IPv4 interface, because probes, Prometheus and published ports reach a
    container from another address. Without HTTP_PORT it listens nowhere."""

    @field_validator("http_bind")
    @classmethod
    def _check_address(cls, value: str) -> str:
        try:
            ip_address(value)
        except ValueError:
            message = f'an IP address such as "127.0.0.1", "0.0.0.0" or "::" is expected, not {value!r}'
            raise ValueError(message) from None
        return value


class WatcherSettings(KafkaSettings, HttpSettings):
    """Everything that the watch needs."""


class TracesSettings(_EnvironmentSettings):
    """Where traces go, in OpenTelemetry's own variables; the other ones are read by OpenTelemetry itself."""

    otel_exporter_otlp_endpoint: str = ""
    otel_exporter_otlp_traces_endpoint: str = ""
    otel_sdk_disabled: bool = False
    otel_service_name: str = "budget-bridge"

    @property
    def are_wanted(self) -> bool:
        """Whether there is an endpoint to send traces to."""
        named = self.otel_exporter_otlp_endpoint or self.otel_exporter_otlp_traces_endpoint
        return bool(named) and not self.otel_sdk_disabled


class WorkerSettings(ServerSettings, HttpSettings, TracesSettings):
    """Everything that the worker needs."""


def read_settings(kind: type[Settings]) -> Settings:
    """Read settings from the environment.

    Args:
        kind: which settings.

    Raises:
        ConfigurationError: they have problems; it lists all of them, each with its variable.
    """
    try:
        return kind()
    except ValidationError as error:
        problems = tuple(_describe(problem["loc"], problem["msg"]) for problem in error.errors(include_url=False))
        raise ConfigurationError(problems) from None


def _describe(where: tuple[int | str, ...], what: str) -> str:
    problem = what.removeprefix("Value error, ")
    if not where:
        return problem
    variable = str(where[0]).upper()
    return f"{variable}: it is not set" if problem == "Field required" else f"{variable}: {problem}"
