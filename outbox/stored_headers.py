"""Writes the headers of a record to a ``headers`` column and reads them, whatever bytes they have."""

import json

from contracts.records import Headers


def pack_headers(headers: Headers) -> str:
    """Write headers as JSON, each byte of a value as one Latin-1 character."""
    return json.dumps([[name, None if value is None else value.decode("latin-1")] for name, value in headers])


def unpack_headers(packed: str) -> Headers:
    """Read what ``pack_headers`` wrote."""
    return tuple((name, None if value is None else value.encode("latin-1")) for name, value in json.loads(packed))
