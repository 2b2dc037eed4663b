"""Prints the results of the doctor: one line each, below it what to do, and how many are ok."""

from typing import Final

from worker.console import Console
from worker.doctor.check import Check, CheckState

_STYLES: Final[dict[CheckState, str]] = {"ok": "green", "warning": "yellow", "error": "bold red"}


def print_checks(checks: list[Check], console: Console) -> None:
    """Print every result, what to do about warnings and errors, and how many there are of each."""
    about_width = max((len(check.about) for check in checks), default=0)
    before = ""
    for check in checks:
        about = "" if check.about == before else check.about
        console.print_line(f"{about:{about_width}}  {check.state:7}  {check.found}", style=_STYLES[check.state])
        if check.to_do and check.state != "ok":
            console.print_line(f"{'':{about_width}}           → {check.to_do}")
        before = check.about
    console.print_line()
    console.print_line(_count(checks))


def _count(checks: list[Check]) -> str:
    states = [check.state for check in checks]
    counts = [("ok", states.count("ok"))]
    counts += [
        (f"{state}s" if states.count(state) != 1 else state, states.count(state)) for state in ("warning", "error")
    ]
    return ", ".join(f"{number} {name}" for name, number in counts)
