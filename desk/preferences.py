"""What people choose for themselves and their browser keeps: the time zone, and whether single keys act."""

from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from starlette.requests import Request

from desk.settings import DeskSettings

ZONE: Final = "desk-zone"
KEYS: Final = "desk-keys"
OFF: Final = "off"
KEPT_SECONDS: Final = 31_536_000

_ZONES: Final = frozenset(available_timezones())


def list_zones() -> list[str]:
    """List the zones to choose from, UTC first."""
    return [
        "UTC",
        *sorted(zone for zone in _ZONES if "/" in zone and not zone.startswith(("Etc/", "posix/", "right/"))),
    ]


def is_zone(name: str) -> bool:
    """Check that there is such a zone."""
    return name in _ZONES


def find_zone(request: Request, settings: DeskSettings) -> ZoneInfo:
    """Find the zone that somebody has chosen, or else the desk's."""
    name = request.cookies.get(ZONE, "")
    return ZoneInfo(name) if is_zone(name) else settings.time_zone


def wants_keys(request: Request) -> bool:
    """Return whether single keys act; they can be switched off, as WCAG 2.1.4 asks."""
    return request.cookies.get(KEYS) != OFF
