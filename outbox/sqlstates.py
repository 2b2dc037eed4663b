"""Classifies errors of Postgres and of its driver: wrong data, a refused role, or anything else.

Only wrong data may put a budget on hold. Everything else is a state of the world: later the same message succeeds.
"""

from typing import Final

import asyncpg

_WRONG_DATA: Final = {
    "21": "cardinality violation: more rows than the statement allows",
    "22": "data exception: a value that its type does not allow",
    "23": "integrity constraint violation: a row that the schema does not allow",
    "54": "program limit exceeded: a value too large for an index or a row",
}
"""By class (the first two characters), from the appendix "PostgreSQL Error Codes".

Left out on purpose: 08 connection, 0A feature not supported, 24 to 2F cursors and transactions, 28 authorization,
3D and 3F catalogs and schemas, 40 rollback (serialization, deadlock), 42 syntax or access rule (our statements against
a schema that was changed by hand), 53 insufficient resources (disk, memory, connections), 55 object state (lock not
available), 57 operator intervention (time-outs, shutdown), 58 system error, 72 snapshot, F0 configuration, HV foreign
data, P0 (a trigger of others) and XX internal errors.
"""

_REFUSED: Final = ("28", "3D")
_NO_PRIVILEGE: Final = "42501"


def is_wrong_data(error: BaseException) -> bool:
    """Return whether an error means that the data is wrong, so that trying again cannot help."""
    if isinstance(error, asyncpg.PostgresError):
        return _get_state(error)[:2] in _WRONG_DATA
    return isinstance(error, asyncpg.DataError)


def is_refusal(error: BaseException) -> bool:
    """Return whether the server answers, but refuses this role, its password or its database."""
    if not isinstance(error, asyncpg.PostgresError):
        return False
    state = _get_state(error)
    return state[:2] in _REFUSED or state == _NO_PRIVILEGE


def describe_error(error: BaseException) -> str:
    """Describe an error in one line, in the words of whoever raised it."""
    text = " ".join(str(error).split())
    if isinstance(error, asyncpg.PostgresError):
        return f"{text or 'no message'} (SQLSTATE {_get_state(error)})"
    if isinstance(error, TimeoutError):
        return text or "no answer in time"
    if isinstance(error, OSError):
        return error.strerror or text or type(error).__name__
    return text or type(error).__name__


def _get_state(error: asyncpg.PostgresError) -> str:
    return str(getattr(error, "sqlstate", None) or "XX000")
