"""Durations as people write them: a whole number of days, hours, minutes or seconds, such as ``400d`` or ``12h``."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION: Final = re.compile(r"([0-9]{1,5})([dhms])", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Read a duration.

    Args:
        text: one to five digits and one of ``d``, ``h``, ``m``, ``s``.

    Returns:
        The duration, zero or more.

    Raises:
        ValueError: the text is not a duration; the message shows what one looks like.
    """
    found = _DURATION.fullmatch(text)
    if not found:
        message = (
            f"{text!r} is not a duration; a number of days, hours, minutes or seconds is expected, such as 400d or 12h"
        )
        raise ValueError(message)
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def format_duration(duration: timedelta) -> str:
    """Write a duration of whole seconds as ``parse_duration`` reads it, in the largest unit that fits."""
    seconds = round(duration.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
