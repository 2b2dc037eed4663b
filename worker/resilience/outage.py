"""Reports an outage once when it begins and once when it ends, however often the dependency is tried meanwhile."""

from collections import Counter
from typing import Final

from worker.telemetry.logs import Logger
from worker.telemetry.metrics import AWAY

_away: Final[Counter[str]] = Counter()


def list_away() -> set[str]:
    """List the parts of this worker that wait for something unavailable."""
    return {what for what, count in _away.items() if count}


class Outage:
    """Logs once that something is unavailable, and once that it is back, however often it is tried in between."""

    def __init__(self, log: Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._away = False

    def note(self, why: object) -> None:
        """Note that it is unavailable."""
        if not self._away:
            self._log.warning(f"{self._what}.lost", why=str(why), next="trying again until it works")
            self._change(1)
        self._away = True

    def clear(self) -> None:
        """Note that it is available again."""
        if self._away:
            self._log.info(f"{self._what}.regained")
        self.forget()

    def forget(self) -> None:
        """Stop waiting for it, available or not."""
        if self._away:
            self._change(-1)
        self._away = False

    def _change(self, by: int) -> None:
        _away[self._what] += by
        AWAY.labels(self._what).set(_away[self._what])
