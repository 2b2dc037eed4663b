"""Reads the settings of the desk from the environment; what the worker has too is called as there."""

import os
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr, field_validator

from desk.identity_settings import IDENTITIES, IdentitySettings, SecretsFile, check_url
from handlers.signers import ANYBODY
from worker.key_files import read_key_file
from worker.rules_files import read_people
from worker.settings import (
    ConfigurationError,
    HttpSettings,
    KafkaSettings,
    Secret,
    check_address,
    check_database_url,
    read_settings,
)

_MAX_PORT: Final = 65_535

Numbers = Literal["1,234.56", "1.234,56", "1 234,56", "1'234.56"]


def _check_operators(file: Path) -> Path:
    try:
        read_people(file)
    except ConfigurationError as error:
        raise ValueError("; ".join(error.problems)) from None
    return file


def _check_key(file: Path) -> Path:
    try:
        key = read_key_file("DESK_KEY_FILE", file)
    except ConfigurationError as error:
        raise ValueError("; ".join(problem.removeprefix("DESK_KEY_FILE: ") for problem in error.problems)) from None
    if key.user != ANYBODY:
        message = f"{file} is the key of {key.user}; the desk signs for everybody, with a key whose user is {ANYBODY}"
        raise ValueError(message)
    return file


KeyFile = Annotated[Path, AfterValidator(_check_key)]
OperatorsFile = Annotated[Path, AfterValidator(_check_operators)]


class DeskSettings(KafkaSettings, HttpSettings):
    """Everything that the desk needs."""

    desk_port: Annotated[int, Field(ge=1, le=_MAX_PORT)] = 8090
    desk_bind: str = "0.0.0.0"  # noqa: S104 - as HTTP_BIND: whatever carries TLS reaches it from another address
    desk_url: str
    """The origin under which people reach the desk, such as ``https://desk.example.com``."""
    desk_database_url: Secret
    desk_time_zone: str = "UTC"
    desk_numbers: Numbers = "1,234.56"
    desk_identity: Literal["oidc", "proxy-jwt", "proxy-header"] = "oidc"
    desk_secret_file: SecretsFile
    """Secrets that sign sessions and forms, one in each line: the first one signs, and all of them are believed."""
    operators_file: OperatorsFile | None = None
    desk_key_file: KeyFile | None = None
    """The key with which the desk signs what people do; without it nothing is signed."""
    desk_workers: str = ""
    """HTTP addresses of workers for the console, such as ``worker-1:8080,worker-2:8080``."""
    desk_watch: str = ""
    """The HTTP address of the watch."""

    @property
    def workers(self) -> list[str]:
        """The addresses of the workers."""
        return [address.strip() for address in self.desk_workers.split(",") if address.strip()]

    @property
    def time_zone(self) -> ZoneInfo:
        """The zone in which times are shown to whoever has not chosen another one."""
        return ZoneInfo(self.desk_time_zone)

    @field_validator("desk_bind")
    @classmethod
    def _check_bind(cls, value: str) -> str:
        return value if value.startswith("unix:/") else check_address(value)

    @field_validator("desk_url")
    @classmethod
    def _check_origin(cls, value: str) -> str:
        parts = urlsplit(value)
        origin = f"{parts.scheme}://{parts.netloc}"
        if parts.scheme not in {"http", "https"} or not parts.hostname or value.rstrip("/") != origin:
            message = f'an origin such as "https://desk.example.com" is expected, not {value!r}'
            raise ValueError(message)
        return check_url(origin)

    @field_validator("desk_database_url")
    @classmethod
    def _check_url(cls, value: SecretStr) -> SecretStr:
        return check_database_url(value)

    @field_validator("desk_time_zone")
    @classmethod
    def _check_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            message = f'a time zone such as "UTC" or "America/Chicago" is expected, not {value!r}'
            raise ValueError(message) from None
        return value


def read_desk_settings() -> tuple[DeskSettings, IdentitySettings]:
    """Read the settings, and those of the way in which people sign in.

    Raises:
        ConfigurationError: either has problems; it lists those of both.
    """
    kind = IDENTITIES.get(os.environ.get("DESK_IDENTITY") or "oidc")
    try:
        settings = read_settings(DeskSettings)
    except ConfigurationError as error:
        raise ConfigurationError((*error.problems, *_list_problems(kind))) from None
    return settings, read_settings(IDENTITIES[settings.desk_identity])


def _list_problems(kind: type[IdentitySettings] | None) -> tuple[str, ...]:
    try:
        if kind is not None:
            read_settings(kind)
    except ConfigurationError as error:
        return error.problems
    return ()
