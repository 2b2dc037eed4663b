"""Reads settings from the environment: where Kafka, Postgres and the rules are. The core never sees any of them.

Every problem is reported at once, each with the variable that causes it.
"""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.topics import TopicNames
from outbox.database_url import check_tls_files, parse_database_url
from outbox.tls_files import check_ca_file, check_key_pair

_SECRETS: Final = frozenset(
    {"database_url", "desk_database_url", "kafka_oauth_client_secret", "kafka_sasl_password", "oidc_client_secret"}
)
"""The settings that can be given as a file, by a variable with ``_FILE`` at its end."""

_TOPIC_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,100}")
_MAX_PORT: Final = 65_535
_SERVER: Final = re.compile(r"[^\s:,]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}")

_EXPECTED: Final[Mapping[str, str]] = {
    "missing": "it is not set",
    "int_parsing": "a whole number is expected",
    "greater_than_equal": "{ge} or more is expected",
    "less_than_equal": "{le} or less is expected",
    "literal_error": "one of {expected} is expected",
    "bool_parsing": "true or false is expected",
}
"""What a value should be, by pydantic's types of errors."""

Settings = TypeVar("Settings", bound=BaseSettings)
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


class ConfigurationError(Exception):
    """The environment or the files are broken: every problem, one sentence each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class _UnreadableFile(NamedTuple):
    """The value of a setting whose file, named by a variable such as ``DATABASE_URL_FILE``, cannot be read."""

    problem: str


class EnvironmentSettings(BaseSettings):
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


Secret = Annotated[SecretStr, BeforeValidator(_refuse_unreadable_file)]
_OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_refuse_unreadable_file)]


class NamesSettings(EnvironmentSettings):
    """The names of the group and the topics."""

    kafka_group_id: Annotated[str, Field(min_length=1)] = "budget-bridge"
    topic_prefix: str = ""

    @property
    def topics(self) -> TopicNames:
        """The names of the topics in this deployment."""
        return TopicNames(self.topic_prefix)

    @field_validator("topic_prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        if not _TOPIC_PREFIX.fullmatch(value):
            message = "only letters, digits, '.', '_' and '-' can be in a topic's name, and 100 characters at most"
            raise ValueError(message)
        return value


class KafkaSettings(NamesSettings):
    """How to reach Kafka, and the names of the group and the topics."""

    kafka_bootstrap: str
    kafka_security_protocol: SecurityProtocol = "PLAINTEXT"
    kafka_sasl_mechanism: SaslMechanism = "PLAIN"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: _OptionalSecret = None
    kafka_oauth_token_url: str | None = None
    kafka_oauth_client_id: str | None = None
    kafka_oauth_client_secret: _OptionalSecret = None
    kafka_oauth_scope: str = ""
    kafka_ssl_cafile: Path | None = None
    kafka_ssl_certfile: Path | None = None
    kafka_ssl_keyfile: Path | None = None
    log_format: Literal["console", "json"] = "console"

    @field_validator("kafka_bootstrap")
    @classmethod
    def _check_servers(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",")]
        if not all(_SERVER.fullmatch(server) and _has_usable_name(server) for server in servers):
            message = 'a list of servers such as "kafka-1:9092,kafka-2:9092" is expected'
            raise ValueError(message)
        return ",".join(servers)

    @field_validator("kafka_ssl_cafile")
    @classmethod
    def _check_ca(cls, value: Path | None) -> Path | None:
        if value is not None:
            check_ca_file(value)
        return value

    @field_validator("kafka_ssl_certfile")
    @classmethod
    def _check_certificate(cls, value: Path | None) -> Path | None:
        key = os.environ.get("KAFKA_SSL_KEYFILE")
        if value is not None:
            check_key_pair(value, Path(key) if key else None)
        return value

    @field_validator("kafka_ssl_keyfile")
    @classmethod
    def _check_key(cls, value: Path | None) -> Path | None:
        if value is not None and not os.environ.get("KAFKA_SSL_CERTFILE"):
            message = f"{value} is the key of no certificate: set KAFKA_SSL_CERTFILE as well"
            raise ValueError(message)
        return value

    @field_validator("kafka_oauth_token_url")
    @classmethod
    def _check_token_url(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            is_local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
            if not parts.hostname or parts.scheme not in ({"https", "http"} if is_local else {"https"}):
                message = 'a URL such as "https://login.example/oauth2/token" is expected: the secret is sent there'
                raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _check_sasl(self) -> Self:
        if not self.kafka_security_protocol.startswith("SASL_"):
            return self
        names = (
            ("kafka_oauth_token_url", "kafka_oauth_client_id", "kafka_oauth_client_secret")
            if self.kafka_sasl_mechanism == "OAUTHBEARER"
            else ("kafka_sasl_username", "kafka_sasl_password")
        )
        if missing := [name.upper() for name in names if getattr(self, name) is None]:
            message = f"{' and '.join(missing)} must be set to log in by {self.kafka_sasl_mechanism}"
            raise ValueError(message)
        return self


def _has_usable_name(server: str) -> bool:
    """Check whether DNS can be asked for the host, and a socket can have the port; a client raises neither in words."""
    host, _, port = server.rpartition(":")
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return 1 <= int(port) <= _MAX_PORT


def check_database_url(value: SecretStr) -> SecretStr:
    """Check that a URL of Postgres can be used, and the files that it names; raises ``ValueError``."""
    check_tls_files(parse_database_url(value.get_secret_value()), os.environ)
    return value


class DatabaseSettings(EnvironmentSettings):
    """How to reach Postgres."""

    database_url: Secret

    @field_validator("database_url")
    @classmethod
    def _check_url(cls, value: SecretStr) -> SecretStr:
        return check_database_url(value)


class RulesSettings(EnvironmentSettings):
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


class OperatorSettings(EnvironmentSettings):
    """With which key an operator signs."""

    operator_key_file: Path | None = None


def check_address(value: str) -> str:
    """Check that a process can listen on an address; raises ``ValueError``."""
    try:
        ip_address(value)
    except ValueError:
        message = f'an IP address such as "127.0.0.1", "0.0.0.0" or "::" is expected, not {value!r}'
        raise ValueError(message) from None
    return value


class HttpSettings(EnvironmentSettings):
    """Where a process serves its health and its metrics."""

    http_port: Annotated[int, Field(ge=1, le=_MAX_PORT)] | None = None
    http_bind: str = "0.0.0.0"  # noqa: S104 - see below
    """Where it listens: by default on every IPv4 interface, because probes, Prometheus and published ports reach a
    container from another address. Without HTTP_PORT it listens nowhere."""

    @field_validator("http_bind")
    @classmethod
    def _check_address(cls, value: str) -> str:
        return check_address(value)


class WatcherSettings(KafkaSettings, HttpSettings):
    """Everything that the watch needs."""


class TracesSettings(EnvironmentSettings):
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
        problems = tuple(map(_describe, error.errors(include_url=False)))
        raise ConfigurationError(problems) from None


def _describe(problem: ErrorDetails) -> str:
    expected = _EXPECTED.get(problem["type"])
    values = {name: str(value).replace("'", "").replace(" or ", ", ") for name, value in problem.get("ctx", {}).items()}
    what = expected.format(**values) if expected else problem["msg"].removeprefix("Value error, ")
    return f"{str(problem['loc'][0]).upper()}: {what}" if problem["loc"] else what
