"""Sends traces by OTLP over HTTP; the only file that uses OpenTelemetry.

Spans and attributes follow OpenTelemetry's conventions for messaging and Kafka.
"""

from collections.abc import Sequence
from dataclasses import replace
from time import time_ns
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from contracts.cloudevents.message import Message
from contracts.cloudevents.trace_context import read_trace
from contracts.inbox import Arrival
from contracts.records import Headers, Outgoing, Place
from handlers.decision import Verdict
from outbox.batch import DecidedBatch
from worker.telemetry.tracing import Traces

EXPORT_SECONDS: Final = 2.0
"""Short, so that a collector that does not answer cannot keep a worker from ending in time."""

_WRONG: Final = frozenset({Verdict.DEAD_LETTERED, Verdict.HELD})


class OtlpTraces(Traces):
    """A span for each message that is decided, and one for each record that is sent."""

    def __init__(self, service: str, group_id: str) -> None:
        self._group_id = group_id
        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_SECONDS)))
        self._tracer = self._provider.get_tracer("budget_bridge")
        self._propagator = TraceContextTextMapPropagator()
        self._open: dict[Place, Span] = {}

    def begin(self, arrivals: list[Arrival]) -> list[Arrival]:
        """Begin the span of each message; what it causes then belongs to that span."""
        return [self._begin(arrival) for arrival in arrivals]

    def _begin(self, arrival: Arrival) -> Arrival:
        place, message = arrival.original.place, arrival.message
        attributes = self._describe("process", place.topic) | {
            "messaging.consumer.group.name": self._group_id,
            "messaging.destination.partition.id": str(place.partition),
            "messaging.kafka.offset": place.offset,
        }
        if isinstance(message, Message):
            body = message.body
            attributes |= {
                "messaging.message.id": message.id,
                "cloudevents.event_source": message.source,
                "cloudevents.event_type": body.type,
                "budget_bridge.budget": str(body.key),
            }
            if body.version is not None:
                attributes["budget_bridge.budget_version"] = body.version
        span = self._tracer.start_span(
            f"process {place.topic}",
            context=self._extract(arrival.original.headers),
            kind=SpanKind.CONSUMER,
            attributes=attributes,
        )
        self._open[arrival.inbox.place] = span
        if not isinstance(message, Message):
            return arrival
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        trace = tuple((name, value.encode()) for name, value in carrier.items())
        return replace(arrival, message=replace(message, trace=trace))

    def end(self, decided: DecidedBatch) -> None:
        """End the spans of messages whose verdicts are stored."""
        for entry in decided.entries:
            self._end(entry.arrival, entry.verdict, entry.detail)
        for repeat in decided.repeats:
            self._end(repeat, Verdict.DUPLICATE, "")

    def _end(self, arrival: Arrival, verdict: Verdict, detail: str) -> None:
        span = self._open.pop(arrival.inbox.place, None)
        if span:
            span.set_attribute("budget_bridge.verdict", verdict.value)
            if verdict in _WRONG:
                span.set_status(Status(StatusCode.ERROR, detail))
            span.end()

    def drop(self, inbox_partition: int) -> None:
        """End the spans of messages of a lane that were not stored; the lane decides them again."""
        for place in [place for place in self._open if place.partition == inbox_partition]:
            span = self._open.pop(place)
            span.set_status(Status(StatusCode.ERROR, "not stored; decided again"))
            span.end()

    def record_sent(self, records: Sequence[Outgoing], started_ns: int) -> None:
        """Record that messages have become visible.

        Args:
            records: the messages.
            started_ns: when they were handed to Kafka, in nanoseconds since 1970.
        """
        ended_ns = time_ns()
        for record in records:
            if not read_trace(record.headers):
                continue
            attributes = self._describe("send", record.topic) | {
                "messaging.message.id": (dict(record.headers).get("ce_id") or b"").decode(errors="replace"),
                "messaging.kafka.message.key": (record.key or b"").decode(errors="replace"),
            }
            span = self._tracer.start_span(
                f"send {record.topic}",
                context=self._extract(record.headers),
                kind=SpanKind.PRODUCER,
                attributes=attributes,
                start_time=started_ns,
            )
            span.end(ended_ns)

    def close(self) -> None:
        """Export what is left."""
        self._provider.shutdown()

    def _extract(self, headers: Headers) -> Context:
        carrier = {name: (value or b"").decode("latin-1") for name, value in read_trace(headers)}
        return self._propagator.extract(carrier, context=Context())

    @staticmethod
    def _describe(operation: str, topic: str) -> dict[str, str | int]:
        return {
            "messaging.system": "kafka",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.destination.name": topic,
        }
