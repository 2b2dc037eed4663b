"""What the desk has outside: the database, Kafka, a clock, and whoever knows who somebody is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from desk.identity import Identity
from desk.rights import Rights
from handlers.rules import Rules
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
    find_rights: Callable[[str, Rules], Rights]
    """Looks up what a user may do under these rules."""
    log: Logger
