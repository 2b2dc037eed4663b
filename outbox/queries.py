"""Reads the SQL statements in ``sql/``, which has one file per user; every statement has a unique name."""

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Final


def _read_queries() -> Mapping[str, str]:
    queries: dict[str, str] = {}
    for file in (files(__package__) / "sql").iterdir():
        _, *parts = re.split(r"^-- name: (\w+)\n", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found = dict(zip(parts[::2], parts[1::2], strict=True))
        if repeated := queries.keys() & found.keys():
            message = f"{file.name} repeats names of other files: {', '.join(sorted(repeated))}"
            raise ValueError(message)
        queries |= found
    return queries


QUERIES: Final = _read_queries()
