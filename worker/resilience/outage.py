"""Reports an outage once when it begins and once when it ends, however often the dependency is tried meanwhile.

Where somebody has to act, a reason with a ``to_do``, each reason is reported once: one may show only after another.
"""

from collections import Counter
from typing import Final

from worker.telemetry.logs import Logger
from worker.telemetry.metrics import UNAVAILABLE

_unavailable: Final[Counter[str]] = Counter()


def list_unavailable() -> set[str]:
    """List the parts of this worker that wait for something unavailable."""
    return {what for what, count in _unavailable.items() if count}


class Outage:
    """Whether something is unavailable.

    Args:
        log: where beginning and end of an outage are logged.
        what: the first half of both events: ``kafka`` gives ``kafka.lost`` and ``kafka.regained``.
    """

    def __init__(self, log: Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._is_unavailable = False
        self._reported: set[str] = set()

    def note(self, why: object) -> None:
        """Note that it is unavailable."""
        is_new = hasattr(why, "to_do") and str(why) not in self._reported
        if not self._is_unavailable or is_new:
            self._reported.add(str(why))
            self._log.warning(f"{self._what}.lost", why=str(why), next="waiting, then continuing")
        if not self._is_unavailable:
            self._is_unavailable = True
            self._change(1)

    def clear(self) -> None:
        """Note that it is available."""
        if self._is_unavailable:
            self.forget()
            self._log.info(f"{self._what}.regained")

    def forget(self) -> None:
        """Stop waiting for it, whether it is available or not."""
        if self._is_unavailable:
            self._is_unavailable = False
            self._reported.clear()
            self._change(-1)

    def _change(self, by: int) -> None:
        _unavailable[self._what] += by
        UNAVAILABLE.labels(self._what).set(_unavailable[self._what])
