"""What the watch has observed of one budget, in whatever order the topics were read; of limited size."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar, cast

from worker.watch.observations import (
    ForgottenUntil,
    Observation,
    ObservedAnswer,
    ObservedDecision,
    ObservedRefusal,
    ObservedRequest,
    ObservedRestate,
    ObservedRetry,
    ObservedReturn,
    ObservedStatus,
)

MAX_PER_KIND: Final = 100
"""Observations of one kind that are kept of a budget: the bridge parks 20 messages of a version at most, and a budget
has a few versions. When there are more, the oldest is dropped, and nothing that old is judged any more."""

_T = TypeVar("_T", bound=Observation)
_Asked = TypeVar("_Asked", ObservedDecision, ObservedRetry, ObservedRestate)


class Changes(NamedTuple):
    """What has to be stored after an observation was added, and what is no longer kept."""

    stored: tuple[Observation, ...] = ()
    dropped: tuple[Observation, ...] = ()


@dataclass(slots=True)
class ObservedBudget:
    """The observations of one budget. Those of one topic arrive in its order, but the topics in any order.

    Adding the same observation again changes nothing.
    """

    _observations: dict[type[Any], dict[str, Observation]] = field(default_factory=lambda: defaultdict(dict))
    last_ms: int = 0
    """Time of the newest observation."""

    def add(self, observation: Observation) -> Changes:
        """Add an observation.

        Returns:
            What it changed, of limited size; empty if it was known already.
        """
        same_kind = self._observations[type(observation)]
        known = same_kind.get(observation.id)
        if known is not None and not _replaces(observation, known):
            return Changes()
        same_kind[observation.id] = observation
        self.last_ms = max(self.last_ms, observation.at_ms)
        if len(same_kind) <= MAX_PER_KIND:
            return Changes((observation,))
        oldest = min(same_kind.values(), key=lambda one: one.at_ms)
        del same_kind[oldest.id]
        forgotten = ForgottenUntil(max(oldest.at_ms, self.forgotten_ms))
        self._observations[ForgottenUntil][forgotten.id] = forgotten
        stored: tuple[Observation, ...] = (forgotten,) if oldest == observation else (observation, forgotten)
        return Changes(stored, () if oldest == observation else (oldest,))

    def list_all(self) -> Iterator[Observation]:
        """List every observation."""
        for same_kind in self._observations.values():
            yield from same_kind.values()

    def list(self, kind: type[_T]) -> Iterable[_T]:
        """List the observations of one kind."""
        return cast("Iterable[_T]", self._observations.get(kind, {}).values())

    def find(self, kind: type[_T], observation_id: object = "") -> _T | None:
        """Find the observation of a kind with this id; those of which only the last one counts have the id ``""``."""
        return cast("_T | None", self._observations.get(kind, {}).get(str(observation_id)))

    @property
    def forgotten_ms(self) -> int:
        """Time of the newest observation that was dropped; 0 if none was."""
        forgotten = self.find(ForgottenUntil)
        return forgotten.at_ms if forgotten else 0

    def list_acceptances(self) -> Iterator[ObservedDecision]:
        """List the acceptances that the bridge did not refuse."""
        return (decision for decision in self.list_granted(ObservedDecision) if decision.decision == "accept")

    def list_granted(self, kind: type[_Asked]) -> Collection[_Asked]:
        """List what was asked for and not refused; of several with one name the first, for the others are repeats."""
        granted: dict[str, _Asked] = {}
        for asked in sorted(self.list(kind), key=lambda one: one.at_ms):
            # A refusal that names no place is of whatever has the name.
            if self.find(ObservedRefusal, asked.id) is None and self.find(ObservedRefusal, asked.message) is None:
                granted.setdefault(asked.message, asked)
        return granted.values()


def _replaces(observation: Observation, known: Observation) -> bool:
    """Return whether an observation replaces the known one with the same id: of some kinds the latest counts."""
    if isinstance(observation, ObservedStatus):
        return observation != known
    is_latest = isinstance(observation, ObservedRequest | ObservedReturn) or (
        isinstance(observation, ObservedAnswer) and observation.status == "in_progress"
    )
    return is_latest and observation.at_ms > known.at_ms
