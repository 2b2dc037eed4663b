"""Chooses how people sign in, by the settings."""

from collections.abc import Callable
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from desk.identity import Identity
from desk.identity_oidc import OidcIdentity
from desk.identity_proxy import ProxyHeaderIdentity, ProxyJwtIdentity
from desk.identity_settings import IdentitySettings, OidcSettings, ProxyJwtSettings
from desk.proxy_keys import KeysBehindUrl, KeysInFile
from desk.seals import read_secrets
from desk.settings import DeskSettings
from worker.settings import ConfigurationError
from worker.telemetry.logs import Logger


def make_identity(
    settings: DeskSettings, identity: IdentitySettings, now: Callable[[], datetime], log: Logger
) -> Identity:
    """Make what finds out who somebody is.

    Raises:
        ConfigurationError: whoever can reach the desk could say that they are anybody.
    """
    if isinstance(identity, OidcSettings):
        return OidcIdentity(identity, read_secrets(settings.desk_secret_file), now, settings.desk_url, log)
    if isinstance(identity, ProxyJwtSettings):
        place = identity.proxy_keys
        keys = KeysBehindUrl(place, now, log) if "://" in place else KeysInFile(Path(place))
        return ProxyJwtIdentity(identity, keys, now, log)
    if not _is_near(settings.desk_bind):
        problem = (
            "DESK_BIND: with DESK_IDENTITY=proxy-header the desk listens on a unix socket (unix:/run/desk.sock) or on "
            "127.0.0.1 alone; use proxy-jwt for a proxy on another machine"
        )
        raise ConfigurationError((problem,))
    return ProxyHeaderIdentity(identity, read_secrets(identity.proxy_secret_file), now)


def _is_near(bind: str) -> bool:
    return bind.startswith("unix:") or ip_address(bind).is_loopback
