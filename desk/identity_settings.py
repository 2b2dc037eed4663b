"""Reads from the environment how people sign in: which of the three ways, and what that one needs.

Nothing that is trusted has a default, which could be left in by mistake: headers, secrets and issuers are named.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from desk.proxy_keys import read_keys
from desk.seals import read_secrets
from worker.settings import EnvironmentSettings, Secret

_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,100}", re.ASCII)
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def _check_secrets(file: Path) -> Path:
    read_secrets(file)
    return file


def _check_header(name: str) -> str:
    if not _HEADER.fullmatch(name):
        message = f"the name of a header is expected, of letters, digits and dashes, not {name!r}"
        raise ValueError(message)
    return name


def check_url(url: str) -> str:
    """Check that nobody on the way can read or change what goes to a URL; raises ``ValueError``."""
    parts = urlsplit(url)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
        return url
    message = f"a URL with https is expected (or with http, on this machine), not {url!r}"
    raise ValueError(message)


def _check_keys(place: str) -> str:
    if "://" in place:
        return check_url(place)
    read_keys(Path(place))
    return place


SecretsFile = Annotated[Path, AfterValidator(_check_secrets)]
Header = Annotated[str, AfterValidator(_check_header)]
Url = Annotated[str, AfterValidator(check_url)]
Given = Annotated[str, Field(min_length=1)]


class OidcSettings(EnvironmentSettings):
    """The OpenID provider."""

    oidc_issuer: Url
    oidc_client_id: Given
    oidc_client_secret: Secret
    oidc_user_claim: Literal["email", "upn", "preferred_username"]


class ProxyJwtSettings(EnvironmentSettings):
    """The proxy that signs a token, and what the token says."""

    proxy_header: Header
    proxy_issuer: Given
    proxy_audience: Given
    proxy_keys: Annotated[str, AfterValidator(_check_keys)]
    """A file with a set of JSON Web Keys, or the URL of one."""
    proxy_user_claim: Given


class ProxyHeaderSettings(EnvironmentSettings):
    """The proxy on this machine that names the person in a header."""

    proxy_header: Header
    proxy_secret_header: Header
    proxy_secret_file: SecretsFile


IdentitySettings = OidcSettings | ProxyJwtSettings | ProxyHeaderSettings
IDENTITIES: Final[Mapping[str, type[IdentitySettings]]] = {
    "oidc": OidcSettings,
    "proxy-jwt": ProxyJwtSettings,
    "proxy-header": ProxyHeaderSettings,
}
