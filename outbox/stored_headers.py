"""How the headers of a record are written into a ``headers`` column, so that any bytes come back as they were."""

import json

from contracts.records import Headers


def pack_headers(headers: Headers) -> str:
    """Write headers as JSON; a character of Latin-1 stands for a byte of a value."""
    return json.dumps([[name, None if value is None else value.decode("latin-1")] for name, value in headers])


def unpack_headers(packed: str) -> Headers:
    """Read what ``pack_headers`` wrote."""
    return tuple((name, None if value is None else value.encode("latin-1")) for name, value in json.loads(packed))
