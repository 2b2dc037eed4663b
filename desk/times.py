"""Times for people: absolute, with the name of the zone; how long ago only beside that."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def write_moment(at: datetime, zone: ZoneInfo) -> str:
    """Write a time in a zone, such as ``2026-11-24 09:00 CET``."""
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")


def write_utc(at: datetime) -> str:
    """Write a time in UTC to the second, for a title."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def write_age(age: timedelta) -> str:
    """Write how long ago something was, in its largest unit, such as ``3 days``."""
    seconds = max(int(age.total_seconds()), 0)
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if count := seconds // size:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"
