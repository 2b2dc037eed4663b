"""Finds what is behind an error of a server: the errors that caused it, and whether a connection was refused."""

import errno
from collections.abc import Iterator
from typing import Final

_REFUSED: Final = f"[Errno {errno.ECONNREFUSED}]"
"""Part of asyncio's error text where a host has several addresses and all of them refuse."""


def list_causes(error: BaseException) -> Iterator[BaseException]:
    """List an error and what caused it, the latest first."""
    cause: BaseException | None = error
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__


def is_connection_refused(cause: BaseException) -> bool:
    """Return whether the server refused the connection, at all of its addresses."""
    return isinstance(cause, ConnectionRefusedError) or _REFUSED in str(cause)
