"""Reads ``queries.sql``: every statement of the bridge, by name."""

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Final


def _read_queries() -> Mapping[str, str]:
    text = (files(__package__) / "queries.sql").read_text()
    _, *parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


QUERIES: Final = _read_queries()
