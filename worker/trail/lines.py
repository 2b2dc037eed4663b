"""The lines of an audit trail as values: what each says, and the bytes that prove it.

docs/audit.md describes them for whoever reads the file; what is not there is not in the file either.
"""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, TypeAdapter

from contracts.fields import Time, Value

FORMAT: Final = 1
"""Of the file; another one is another number."""

Scalar = str | int | bool | None


class _Part(Value):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Line(_Part):
    previous: str | None = None
    """SHA-256 of the line before, in hexadecimal; null in the first."""


class KafkaPlace(_Part):
    """Where a record is in Kafka."""

    topic: str
    partition: int
    offset: int


class Bytes(_Part):
    """What is signed of a record, as Kafka has it: values in base64, null where Kafka has null."""

    headers: tuple[tuple[str, str | None], ...]
    """Those that are signed, and the envelope; the record may have more."""
    value: str | None


class Signed(_Part):
    """What the envelope of a message says; whether it is true is for the verifier to find."""

    kid: str
    at: str
    """``ce_time``, as it came."""


class Application(_Part):
    """One time that a version of the rules was put in force."""

    by: str
    why: str
    at: Time


class Head(_Line):
    """What the file is about; the first line."""

    kind: Literal["head"] = "head"
    format: int = FORMAT
    program: str
    deployment: str
    group: str | None
    budget: str | None
    since: Time | None
    until: Time | None
    read_at: Time
    pruned_before: Time | None


class RulesLine(_Line):
    """A version of the rules, before the first message that was decided by it."""

    kind: Literal["rules"] = "rules"
    rules_id: int
    digest: str
    signatures_required: tuple[str, ...]
    applied: tuple[Application, ...]


class Received(_Line):
    """One message that came in, and what became of it."""

    kind: Literal["received"] = "received"
    at: Time
    inbox: KafkaPlace
    origin: KafkaPlace
    budget: str | None
    version: int | None
    source: str
    id: str
    type: str
    who: str | None
    says: dict[str, Scalar] | None
    signed: Signed | None
    verdict: str
    detail: str
    rules_id: int
    proven_by: str | None
    """The key that the bridge says it has proven the message with."""
    pruned: bool
    value_sha256: str | None
    record: Bytes | None


class Sent(_Line):
    """One message that was sent, and the place of the message that caused it."""

    kind: Literal["sent"] = "sent"
    at: Time
    cause: KafkaPlace
    ordinal: int
    topic: str
    id: str
    type: str | None
    budget: str | None
    says: dict[str, Scalar] | None
    value_sha256: str | None
    record: Bytes | None


class End(_Line):
    """How many lines the file has before this one, the last."""

    kind: Literal["end"] = "end"
    lines: int


Line = Annotated[Head | RulesLine | Received | Sent | End, Field(discriminator="kind")]
LINES: Final[TypeAdapter[Line]] = TypeAdapter(Line)
