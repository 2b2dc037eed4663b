"""What the desk has outside: the database, Kafka, a clock, and whoever knows who somebody is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from desk.identity import Identity
from outbox.reader import Reader
from worker.kafka.connection import KafkaConnection
from worker.kafka.producer import Appender
from worker.telemetry.logs import Logger


@dataclass(frozen=True, slots=True)
class Services:
    """Everything outside that pages use."""

    reader: Reader
    kafka: KafkaConnection
    appender: Appender
    now: Callable[[], datetime]
    identity: Identity
    list_operators: Callable[[], Mapping[tuple[int, int | None], frozenset[str]]]
    """Folded users by company and project, as the file has them now; no project means the whole company."""
    log: Logger
