"""The circuit breaker of each dependency: while it is open, only one part of the worker at a time tries the dependency.

A breaker knows nothing about its dependency. A part that was admitted reports the result; one that was not keeps
polling, so that it stays a member of its group.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Final, Literal

from worker.resilience.backoff import back_off
from worker.resilience.outage import Outage
from worker.telemetry.logs import Logger
from worker.telemetry.metrics import TRIPS

OTHERS_FIRST_SECONDS: Final = 0.5
"""How long a part that failed lets the others try first: it may be the only one that cannot get through."""

BreakerState = Literal["closed", "open", "probing"]


class Breaker:
    """Whether one dependency may be used now, and by which part of the worker."""

    def __init__(self, dependency: str, log: Logger) -> None:
        self._dependency = dependency
        self._outage = Outage(log, dependency)
        self._waits: Iterator[float] = back_off()
        self._waiting: set[object] = set()
        self._probing: object | None = None
        self._failed: object | None = None
        self._probe_at = 0.0

    @property
    def state(self) -> BreakerState:
        """Closed: every part uses the dependency. Open: none does. Probing: one part tries whether it answers."""
        if not self._waiting:
            return "closed"
        return "open" if self._probing is None else "probing"

    def admits(self, who: object) -> bool:
        """Return whether a part may use the dependency: any part while closed, otherwise the one whose turn it is."""
        if not self._waiting:
            return True
        self._waiting.add(who)
        turn = self._probe_at + (OTHERS_FIRST_SECONDS if who is self._failed else 0)
        if self._probing is None and monotonic() >= turn:
            self._probing = who
        return self._probing is who

    def trip(self, who: object, why: object) -> None:
        """Note that the dependency did not answer.

        Args:
            who: the part of the worker that used it.
            why: what went wrong, for the log.
        """
        if not self._waiting:
            self._waits = back_off()
            TRIPS.labels(self._dependency).inc()
        self._outage.note(why)
        if not self._waiting or self._probing is who:
            self._probing, self._failed = None, who
            self._probe_at = monotonic() + next(self._waits)
        self._waiting.add(who)

    def close(self, who: object) -> None:
        """Note that the dependency answered a part; only an answer to the part whose turn it is counts."""
        if self._probing is who:
            self._probing = self._failed = None
            self._waiting.clear()
            self._outage.clear()

    def give_back(self, who: object) -> None:
        """Let another part try: this one has found out nothing."""
        if self._probing is who:
            self._probing = None

    def forget(self, who: object) -> None:
        """Forget a part that has ended; once no part waits, the dependency is not known to be down."""
        self.give_back(who)
        self._waiting.discard(who)
        if not self._waiting:
            self._outage.forget()


@dataclass(frozen=True, slots=True)
class Breakers:
    """Both dependencies of a worker."""

    kafka: Breaker
    database: Breaker

    def admits(self, who: object) -> bool:
        """Return whether a part may use both. It gives its turn with one back while it has none with the other."""
        if self.kafka.admits(who) and self.database.admits(who):
            return True
        self.give_back(who)
        return False

    def close(self, who: object) -> None:
        """Note that both answered."""
        self.kafka.close(who)
        self.database.close(who)

    def give_back(self, who: object) -> None:
        """Let others try."""
        self.kafka.give_back(who)
        self.database.give_back(who)

    def forget(self, who: object) -> None:
        """Forget a part that has ended."""
        self.kafka.forget(who)
        self.database.forget(who)

    def list_states(self) -> dict[str, BreakerState]:
        """List the state of each."""
        return {"kafka": self.kafka.state, "database": self.database.state}


def make_breakers(log: Logger) -> Breakers:
    """Create the breakers of one worker."""
    return Breakers(Breaker("kafka", log), Breaker("database", log))
