"""The W3C trace context in a record's headers, which is passed on from a message to what it causes."""

import re
from typing import Final

from contracts.records import Headers, fold_headers

_TRACE_HEADERS: Final = ("traceparent", "tracestate")
# W3C Trace Context: version 00 has exactly this form, and ids of zeros alone are not valid.
_TRACEPARENT: Final = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
# W3C Trace Context: 512 is what must be passed on at least; printable ASCII is all that a list member may have.
_TRACESTATE: Final = re.compile(rb"[\x20-\x7e\t]{1,512}")


def read_trace(headers: Headers) -> Headers:
    """Read the trace context from a record's headers; what is not of its form is dropped, never passed on.

    A ``tracestate`` without a valid ``traceparent`` is dropped too, as W3C Trace Context has it.
    """
    folded = fold_headers(headers)
    parent, state = (folded.get(name, b"") for name in _TRACE_HEADERS)
    if not _TRACEPARENT.fullmatch(parent):
        return ()
    if not _TRACESTATE.fullmatch(state):
        return (("traceparent", parent),)
    return (("traceparent", parent), ("tracestate", state))


def drop_trace(headers: Headers) -> Headers:
    """Leave out the trace context: the span that a message belongs to is no part of its content."""
    return tuple((name, value) for name, value in headers if name.lower() not in _TRACE_HEADERS)
