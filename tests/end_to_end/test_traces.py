"""One trace leads from the record received to the records sent, also across a crash; each has one traceparent."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from contracts.records import Record
from tests.end_to_end.harness import Bridge
from tests.exactly_once.deployment import RunningDeployment
from tests.unit.builders import KEY, accept, lock

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
Spans = list[Span]


@pytest.fixture
def collected() -> Iterator[tuple[int, Spans]]:
    """A collector of traces: its port, and the spans that it was sent."""
    spans: Spans = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                [name] = [one.value.string_value for one in resource.resource.attributes if one.key == "service.name"]
                assert name == "budget-bridge"
                spans.extend(span for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port, spans
    server.shutdown()
    server.server_close()
    thread.join()


def trace(bridge: Bridge, port: int) -> None:
    bridge.settings |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


def find_sent(bridge: Bridge, kind: str, project: int) -> Record:
    return next(
        record
        for record in bridge.seen
        if (headers := dict(record.headers)).get("ce_type") == kind.encode()
        and headers["ce_subject"] == str(KEY._replace(project_id=project)).encode()
    )


def read_context(record: Record) -> tuple[str, str]:
    """The trace and the span that a record names; there is one of each."""
    [value] = [value for name, value in record.headers if name.lower() == "traceparent"]
    version, trace_id, span_id, flags = (value or b"").decode().split("-")
    assert (version, int(flags, 16) & 1) == ("00", 1)
    return trace_id, span_id


def describe(span: Span) -> dict[str, str]:
    return {one.key: one.value.string_value for one in span.attributes}


async def test_a_trace_runs_from_what_came_in_to_what_is_sent(bridge: Bridge, collected: tuple[int, Spans]) -> None:
    port, spans = collected
    trace(bridge, port)
    bridge.start()
    body = lock(key=KEY._replace(project_id=1))
    headers = (*bridge.head(body, "lock-1"), ("traceparent", f"00-{TRACE}-{PARENT}-01".encode()))
    await bridge.send_raw("procore.budgets", body.model_dump_json().encode(), headers)
    await bridge.send(lock(key=KEY._replace(project_id=2)))
    await bridge.wait_for("approval.requested.v1", 1, project_id=1)
    await bridge.wait_for("approval.requested.v1", 1, project_id=2)
    await bridge.send(accept(key=KEY._replace(project_id=2)))
    await bridge.wait_for("spectrum.export.v1", 1, project_id=2)

    trace_id, decided = read_context(find_sent(bridge, "approval.requested.v1", 1))
    assert trace_id == TRACE
    topic = f"{bridge.prefix}procore.budgets"
    await bridge.wait_until(lambda: sum(span.name.startswith("send ") for span in spans) >= 4, "the spans")
    [process] = [span for span in spans if span.span_id.hex() == decided]
    assert (process.name, process.kind) == (f"process {topic}", Span.SPAN_KIND_CONSUMER)
    assert (process.trace_id.hex(), process.parent_span_id.hex()) == (TRACE, PARENT)
    attributes = describe(process)
    assert attributes["messaging.system"] == "kafka"
    assert attributes["messaging.message.id"] == "lock-1"
    assert attributes["budget_bridge.verdict"] == "applied"
    sends = [span for span in spans if span.name.startswith("send ") and span.trace_id.hex() == TRACE]
    assert {span.name.removeprefix(f"send {bridge.prefix}") for span in sends} == {
        "bridge.approval-requests",
        "bridge.status",
    }
    assert {span.parent_span_id.hex() for span in sends} == {decided}
    assert {span.kind for span in sends} == {Span.SPAN_KIND_PRODUCER}

    # Without an incoming one, each message begins a trace of its own.
    asked, _ = read_context(find_sent(bridge, "approval.requested.v1", 2))
    exported, _ = read_context(find_sent(bridge, "spectrum.export.v1", 2))
    assert len({asked, exported, TRACE}) == 3
    await bridge.wait_until_carried()


async def test_a_trace_goes_on_after_a_crash(deployment: RunningDeployment, collected: tuple[int, Spans]) -> None:
    port, spans = collected
    trace(deployment, port)
    worker = deployment.start_planted(CRASH_AT="publish: before the commit")
    for project in range(1, 11):
        body = lock(key=KEY._replace(project_id=project))
        headers = (*deployment.head(body), ("traceparent", f"00-{TRACE}-{PARENT}-01".encode()))
        await deployment.send_raw("procore.budgets", body.model_dump_json().encode(), headers)
    await deployment.wait_for_death(worker)
    spans.clear()
    deployment.start()
    await deployment.wait_for("approval.requested.v1", 10)
    contexts = {read_context(find_sent(deployment, "approval.requested.v1", project)) for project in range(1, 11)}
    assert (len(contexts), {trace_id for trace_id, _ in contexts}) == (10, {TRACE})

    def find_carried_over() -> Spans:
        """The messages that this process sent but did not decide: another one decided them before the crash."""
        decided = {span.span_id for span in spans if span.name.startswith("process ")}
        return [
            span
            for span in spans
            if span.name.endswith("bridge.approval-requests") and span.parent_span_id not in decided
        ]

    await deployment.wait_until(lambda: bool(find_carried_over()), "a span of what was stored before the crash")
    assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in find_carried_over()} <= contexts
    findings = await deployment.wait_until_carried()
    assert findings.are_clean, findings.first
