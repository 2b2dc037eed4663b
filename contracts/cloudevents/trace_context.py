"""The W3C trace context in a record's headers, which is passed on from a message to what it causes."""

from typing import Final

from contracts.records import Headers, fold_headers

_TRACE_HEADERS: Final = ("traceparent", "tracestate")


def read_trace(headers: Headers) -> Headers:
    """Read the trace context from a record's headers: at most one of each."""
    folded = fold_headers(headers)
    return tuple((name, value) for name in _TRACE_HEADERS if (value := folded.get(name)) is not None)


def drop_trace(headers: Headers) -> Headers:
    """Leave out the trace context: the span that a message belongs to is no part of its content."""
    return tuple((name, value) for name, value in headers if name.lower() not in _TRACE_HEADERS)
