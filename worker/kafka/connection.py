"""How Kafka is reached, and the time limits that every client of it keeps."""

from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.helpers import create_ssl_context

from worker.settings import KafkaSettings

SESSION_MS: Final = 10_000

REBALANCE_MS: Final = 30_000

METADATA_MS: Final = 10_000

TRANSACTION_MS: Final = 20_000

APPEND_SECONDS: Final = 20.0
REQUEST_SECONDS: Final = 20.0
"""Longest that one question to Kafka may take, the search for a coordinator included."""


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """How Kafka is reached."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    def list_options(self) -> dict[str, Any]:
        """List what every client of aiokafka is made with."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
            }
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = create_ssl_context(
                cafile=self.ssl_cafile, certfile=self.ssl_certfile, keyfile=self.ssl_keyfile
            )
        return options


def connect_kafka(settings: KafkaSettings) -> KafkaConnection:
    """Name how Kafka is reached, as the settings say."""
    password = settings.kafka_sasl_password
    files = (settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)
    cafile, certfile, keyfile = (str(file) if file else None for file in files)
    return KafkaConnection(
        bootstrap_servers=settings.kafka_bootstrap,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=password.get_secret_value() if password else None,
        ssl_cafile=cafile,
        ssl_certfile=certfile,
        ssl_keyfile=keyfile,
    )
