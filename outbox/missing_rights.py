"""Finds out which rights a role lacks, and names the one that a statement was refused for."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg

from outbox.queries import QUERIES
from outbox.rights import RIGHTS, Part, Right


class Refusal(NamedTuple):
    """Why a statement was refused, and what to do."""

    found: str
    to_do: str


class RoleRights(NamedTuple):
    """The role of a session, and what it lacks."""

    role: str
    missing: Mapping[Part, Sequence[Right]]
    """What it may not do, of what each part needs."""


async def read_role_rights(connection: "asyncpg.Connection") -> RoleRights:
    """Read what the role of a session lacks; raises what asyncpg raises."""
    rights = list(dict.fromkeys(right for part in RIGHTS.values() for right in part))
    columns = [" ".join(right.columns) for right in rights]
    role: str = await connection.fetchval("select current_user")
    rows = await connection.fetch(
        QUERIES["list_missing_rights"], [right.privilege for right in rights], [right.on for right in rights], columns
    )
    missing = {rights[row["number"] - 1] for row in rows}
    return RoleRights(role, {part: [right for right in RIGHTS[part] if right in missing] for part in RIGHTS})


def find_parts(missing: Mapping[Part, Sequence[Right]]) -> list[Part]:
    """Find out what a role is for: the parts of which it may change something, or else reading."""
    changing = [part for part in missing if any(right.changes for right in set(RIGHTS[part]) - set(missing[part]))]
    return changing or ["read"]


async def explain_refusal(connection: "asyncpg.Connection", refused: asyncpg.PostgresError) -> Refusal | None:
    """Name the right that a statement was refused for.

    The server names the table and not the privilege, so the rights on it that the role lacks are looked up.

    Args:
        connection: the session of the statement, with no transaction open.
        refused: the error; where the role may not use the schema, it may say that there is no such table.

    Returns:
        What was found; ``None`` if no right is missing.

    Raises:
        asyncpg.PostgresError: or another of asyncpg's errors: the session does not answer.
    """
    role, missing = await read_role_rights(connection)
    lacking = {part: [right for right in rights if _is_meant(right, refused)] for part, rights in missing.items()}
    if not any(lacking.values()):
        if not isinstance(refused, asyncpg.InsufficientPrivilegeError):
            return None
        to_do = "use the owner of the schema for `budget-bridge migrate` and `recover`; docs/security.md has the others"
        return Refusal(f"role {role} may not do this ({refused})", to_do)
    # Better a part that the role is for, and the one of which it lacks the least.
    meant = find_parts(missing)
    part = min((part for part in lacking if lacking[part]), key=lambda part: (part not in meant, len(missing[part])))
    return Refusal(
        f"role {role} lacks {' and '.join(map(str, lacking[part]))}",
        f"run what `budget-bridge grants {part} {role}` prints, as the owner of the schema, or use a role that has it",
    )


def _is_meant(missing: Right, refused: asyncpg.PostgresError) -> bool:
    """Return whether an error is about a right that is missing: on what it names, and of a kind that was asked for."""
    if missing.privilege == "usage":
        return True
    if not re.search(rf"\b{missing.on}\b", str(refused)):
        return False
    # Of a COPY the driver does not keep the statement.
    statement = (getattr(refused, "query", None) or "insert").lower()
    # Any statement may read: `update … where` does.
    return not missing.changes or missing.privilege in statement
