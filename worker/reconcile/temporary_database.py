"""A temporary SQLite database, so that memory does not grow with the number of messages that are compared.

It is an unnamed file in SQLite's folder for temporary files, and is gone once it is closed. Nothing is written until
its cache is full.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_CACHE_KIB: Final = 16 * 1024
"""How much of a database stays in memory: 16 MiB, and a recovery has at most six of them open."""


@contextmanager
def open_temporary_database(tables: str) -> Iterator[sqlite3.Connection]:
    """Open an empty database with these tables; it is dropped when this ends."""
    database = sqlite3.connect("", isolation_level=None)
    try:
        for setting in ("journal_mode=off", "synchronous=off", "temp_store=file", f"cache_size=-{_CACHE_KIB}"):
            database.execute(f"pragma {setting}")
        database.executescript(tables)
        # One transaction from here to the end: nothing of it needs to survive.
        database.execute("begin")
        yield database
    finally:
        database.close()
