"""Stubs stand in for records that cannot be carried whole, so that these become dead letters and stop nothing.

A stub has the place of its record and a header that says why; perhaps a part of the value, never a whole message.
"""

from dataclasses import replace
from typing import Final

from contracts.fields import MAX_MESSAGE_BYTES
from contracts.records import Headers, Record, measure_headers, measure_record

STUB_HEADER: Final = "bridge_unreadable"
"""The header that marks a stub; its value says in words why the record is not whole."""

LARGEST_COPY_BYTES: Final = MAX_MESSAGE_BYTES + 256 * 1024
"""Largest record that is copied whole: the contract's 16 MiB and some room, below the 17 MiB that the inbox takes."""

_LONGEST_REASON_BYTES: Final = 1000
"""Anybody can write such a header, and its text is stored and passed on."""

_LARGEST_HEADERS_BYTES: Final = 64 * 1024
"""Headers beyond this are left out of a stub: they alone must not fill it."""


def make_stub_header(why: str) -> tuple[str, bytes]:
    """Make the header that turns a record into a stub."""
    return STUB_HEADER, why.encode("utf-8", "backslashreplace")


def read_stub(headers: Headers) -> str | None:
    """Read why a record is a stub; ``None`` for a whole record."""
    for name, value in headers:
        if name == STUB_HEADER:
            return (value or b"")[:_LONGEST_REASON_BYTES].decode("utf-8", "replace")
    return None


def cut_to_fit(record: Record) -> Record:
    """Cut a record that the inbox would not take, and mark it as a stub; any other comes back as it is."""
    size = measure_record(record)
    if size <= LARGEST_COPY_BYTES:
        return record
    headers = record.headers
    why = f"the record has {size} bytes, more than the {MAX_MESSAGE_BYTES} of the contract: its value was cut"
    if measure_headers(headers) > _LARGEST_HEADERS_BYTES:
        headers, why = (), f"{why} and its headers were left out"
    key = record.key[:_LARGEST_HEADERS_BYTES] if record.key else record.key
    value = record.value[: MAX_MESSAGE_BYTES - 2 * _LARGEST_HEADERS_BYTES] if record.value else record.value
    return replace(record, key=key, value=value, headers=(*headers, make_stub_header(why)))
