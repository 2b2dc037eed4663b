"""What the watch observes of a budget: one small value for each record that matters, and how it is stored."""

from typing import Any, Final, NamedTuple


class ObservedDecision(NamedTuple):
    """An approver accepted or rejected a version."""

    version: int
    decision: str
    """``accept`` or ``reject``."""
    message: str
    """Its type, source and id."""
    at_ms: int
    place: str = ""

    @property
    def id(self) -> str:
        """Each record is one of its own: one of two with the same name may be a forgery, which is refused."""
        return self.place or self.message


class ObservedRetry(NamedTuple):
    """An operator asked for another attempt."""

    version: int
    message: str
    at_ms: int
    place: str = ""

    @property
    def id(self) -> str:
        """Each record is one of its own, as with decisions."""
        return self.place or self.message


class ObservedRestate(NamedTuple):
    """An approver asked for the figures of the synced version to be sent once more."""

    message: str
    at_ms: int
    place: str = ""

    @property
    def id(self) -> str:
        """Each record is one of its own, as with decisions."""
        return self.place or self.message


class ObservedAnswer(NamedTuple):
    """Spectrum answered an attempt."""

    export_id: str
    attempt: int
    status: str
    at_ms: int

    @property
    def id(self) -> str:
        """A repeat of the same answer adds nothing."""
        return f"{self.export_id}/{self.attempt}/{self.status}"


class ObservedReading(NamedTuple):
    """A snapshot showed that Spectrum has taken an export whole."""

    export_id: str
    at_ms: int

    @property
    def id(self) -> str:
        """The first snapshot that showed it counts."""
        return self.export_id


class ObservedRequest(NamedTuple):
    """The bridge asked for an approval."""

    version: int
    at_ms: int

    @property
    def id(self) -> str:
        """The latest request for a version counts."""
        return str(self.version)


class ObservedRefusal(NamedTuple):
    """The bridge refused a message."""

    message: str
    at_ms: int
    place: str = ""
    """Where the message is; empty where the refusal does not say that."""

    @property
    def id(self) -> str:
        """One refusal of a record is enough."""
        return self.place or self.message


class ObservedReturn(NamedTuple):
    """The bridge returned a version to the project side."""

    version: int
    at_ms: int

    @property
    def id(self) -> str:
        """The latest return of a version counts."""
        return str(self.version)


class ObservedExport(NamedTuple):
    """The bridge sent an export."""

    version: int
    export_id: str
    attempt: int
    number: int
    at_ms: int
    place: str
    restatement: int = 0

    @property
    def id(self) -> str:
        """Each record of the topic is an export of its own, so that a repeat is seen."""
        return self.place


class ObservedStatus(NamedTuple):
    """The bridge reported the status of a budget."""

    version: int
    status: str
    at_ms: int
    """Since when."""

    @property
    def id(self) -> str:
        """The last status counts."""
        return ""


class ForgottenUntil(NamedTuple):
    """The watch itself dropped observations of this budget."""

    at_ms: int
    """Time of the newest of them."""

    @property
    def id(self) -> str:
        """There is only one."""
        return ""


Observation = (
    ObservedDecision
    | ObservedRetry
    | ObservedRestate
    | ObservedAnswer
    | ObservedReading
    | ObservedRequest
    | ObservedRefusal
    | ObservedReturn
    | ObservedExport
    | ObservedStatus
    | ForgottenUntil
)
_KINDS: Final[dict[str, type[Any]]] = {
    "decision": ObservedDecision,
    "retry": ObservedRetry,
    "restate": ObservedRestate,
    "answer": ObservedAnswer,
    "reading": ObservedReading,
    "request": ObservedRequest,
    "refusal": ObservedRefusal,
    "return": ObservedReturn,
    "export": ObservedExport,
    "status": ObservedStatus,
    "forgotten": ForgottenUntil,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def write_key(budget: str, observation: Observation) -> str:
    """Write the key under which an observation is stored: its budget, kind and id."""
    return f"{budget} {_NAMES[type(observation)]} {observation.id}"


def read_budget(key: str) -> str:
    """Read the budget in the key of a stored observation."""
    return key.partition(" ")[0]


def write_value(observation: Observation) -> list[object]:
    """Write an observation as JSON values."""
    return [_NAMES[type(observation)], *observation]


def read_value(stored: list[object]) -> Observation:
    """Read a stored observation."""
    name, *fields = stored
    observation: Observation = _KINDS[str(name)](*fields)
    return observation
