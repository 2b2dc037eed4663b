"""A temporary database on disk, for what would grow in memory with the number of messages that are compared.

SQLite's own: a file without a name in its folder for temporary files, gone when it is closed. Up to the size of its
cache nothing is written at all.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_CACHE_KIB: Final = 16 * 1024
"""What stays in memory: 16 MiB for each database, of which a recovery has at most six open."""


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
