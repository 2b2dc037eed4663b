"""What the desk has outside: the database, Kafka, a clock, and whoever knows who somebody is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from contracts.signature.signing import PrivateKey
from desk.forms import Forms
from desk.identity import Identity
from outbox.reader import Reader
from worker.kafka.connection import KafkaConnection
from worker.kafka.producer import Appender
from worker.rules_files import People
from worker.telemetry.logs import Logger


@dataclass(frozen=True, slots=True)
class Services:
    """Everything outside that pages use."""

    reader: Reader
    kafka: KafkaConnection
    appender: Appender
    now: Callable[[], datetime]
    identity: Identity
    list_operators: Callable[[], People]
    """As the file has them now."""
    forms: Forms
    log: Logger
    key: PrivateKey | None = None
    """With which the desk signs; ``None`` leaves its messages unsigned."""
