"""Continues a message's trace from the incoming record, through its decision, to the published records.

Without OpenTelemetry the trace context of a message is passed on as it is. With it (``otlp_tracing``) each message has
a span of its own, whose context is stored with what the message causes.
"""

from collections.abc import Sequence

from contracts.inbox import Arrival
from contracts.records import Outgoing
from outbox.batch import DecidedBatch
from worker.settings import ConfigurationError, TracesSettings


class Traces:
    """Makes no spans."""

    def begin(self, arrivals: list[Arrival]) -> list[Arrival]:
        """Begin the span of each message; what it causes then belongs to that span."""
        return arrivals

    def end(self, decided: DecidedBatch) -> None:
        """End the spans of messages whose verdicts are stored."""

    def drop(self, inbox_partition: int) -> None:
        """End the spans of messages of a lane that were not stored; the lane decides them again."""

    def record_sent(self, records: Sequence[Outgoing], started_ns: int) -> None:
        """Record that messages have become visible.

        Args:
            records: the messages.
            started_ns: when they were handed to Kafka, in nanoseconds since 1970.
        """

    def close(self) -> None:
        """Export what is left."""


def open_traces(settings: TracesSettings, group_id: str) -> Traces:
    """Open traces if the environment names an endpoint.

    Raises:
        ConfigurationError: it names one, but OpenTelemetry is not installed.
    """
    if not settings.are_wanted:
        return Traces()
    try:
        from worker.telemetry.otlp_tracing import OtlpTraces  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as missing:
        problem = (
            "OTEL_EXPORTER_OTLP_ENDPOINT asks for traces, but OpenTelemetry is not installed: install "
            "budget-bridge with its extra, `budget-bridge[traces]`"
        )
        raise ConfigurationError((problem,)) from missing
    return OtlpTraces(settings.otel_service_name, group_id)
