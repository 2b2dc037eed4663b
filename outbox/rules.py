"""Reads which version of the rules is in force and who applied it, and applies another one for all workers at once.

A lane reads the version in force in each batch transaction and keeps it from changing until that transaction ends. So
nothing that is stored after a version was applied was decided by an earlier one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from handlers.rules import Rules
from outbox.database import Connection, transaction, translate_errors
from outbox.queries import QUERIES
from outbox.rules_codec import NewerRulesError, decode_rules, encode_rules

NO_RULES: Final = "no version of the rules is in force: run `budget-bridge rules apply`"

_SHORT_DIGEST: Final = 8
_CACHED: Final = 4


class RulesUnavailable(Exception):  # noqa: N818 - a state of the deployment, not a fault of the program
    """No version of the rules is in force, or this program cannot read it; the message says what to do."""


@dataclass(frozen=True, slots=True)
class RulesVersion:
    """One stored version of the rules."""

    id: int
    digest: str
    """SHA-256 of the stored rules in hexadecimal."""
    rules: Rules

    def __str__(self) -> str:
        return name_version(self.id, self.digest)


class Application(NamedTuple):
    """The application of a version: which one was put in force, by whom, why and when."""

    rules_id: int
    digest: str
    applied_by: str
    why: str
    at: datetime

    def __str__(self) -> str:
        return name_version(self.rules_id, self.digest)


_cache: Final[dict[tuple[int, str], RulesVersion]] = {}
"""The versions that were read last, oldest first. A stored version never changes, so the cache is never out of date.
The digest is part of the key because another database may use the same ids."""


def name_version(rules_id: int, digest: str) -> str:
    """Name a version for people and logs, such as ``3 (1f2e3d4c)``."""
    return f"{rules_id} ({digest[:_SHORT_DIGEST]})"


async def read_rules_in_force(connection: Connection) -> RulesVersion:
    """Read the version in force, and keep it in force until the caller's transaction ends.

    Raises:
        RulesUnavailable: no version is in force, or a newer version of this program stored it.
    """
    async with translate_errors(connection):
        [found] = await connection.fetch(QUERIES["share_rules_in_force"])
        return await recall_version(connection, *found)


async def find_rules_in_force(connection: Connection) -> RulesVersion:
    """Read the version in force as of the caller's transaction; others may be put in force meanwhile.

    Raises:
        RulesUnavailable: no version is in force, or a newer version of this program stored it.
    """
    found = await find_application(connection)
    if found is None:
        raise RulesUnavailable(NO_RULES)
    async with translate_errors(connection):
        return await recall_version(connection, found.rules_id, found.digest)


async def read_version(connection: Connection, rules_id: int) -> Rules | None:
    """Read one version of the rules; ``None`` where there is none with this id.

    Raises:
        RulesUnavailable: a newer version of this program stored it.
    """
    async with translate_errors(connection):
        content = await connection.fetchval(QUERIES["read_rules"], rules_id)
    return None if content is None else _decode(rules_id, content)


async def list_applications(connection: Connection, at_most: int) -> list[Application]:
    """List which versions were put in force, latest first; the first one is in force now."""
    async with translate_errors(connection):
        rows = await connection.fetch(QUERIES["list_rule_applications"], at_most)
    return [Application(*row) for row in rows]


async def count_applications(connection: Connection) -> int:
    """Count how often a version was put in force."""
    async with translate_errors(connection):
        count: int = await connection.fetchval(QUERIES["count_rule_applications"])
    return count


async def find_application(connection: Connection, rules_id: int | None = None) -> Application | None:
    """Find who applied a version, when and why.

    Args:
        connection: a session on a database with our schema.
        rules_id: which version; ``None`` for the one in force.

    Returns:
        Its latest application; ``None`` where there is none.
    """
    async with translate_errors(connection):
        row = await connection.fetchrow(QUERIES["find_rule_application"], rules_id)
    return None if row is None else Application(*row)


@asynccontextmanager
async def lock_rules(connection: Connection) -> AsyncIterator[None]:
    """Open a transaction in which the version in force can be replaced: no lane decides anything until it ends.

    Waits until each lane has stored its current batch.
    """
    async with translate_errors(connection), transaction(connection):
        await connection.execute(QUERIES["lock_rules"])
        yield


async def put_in_force(connection: Connection, rules: Rules, applied_by: str, why: str) -> Application:
    """Store rules and put them in force, in the caller's transaction.

    Args:
        connection: a session inside ``lock_rules``.
        rules: the rules; if the same rules were stored before, they keep their id.
        applied_by: who applies them.
        why: the reason.
    """
    encoded = encode_rules(rules)
    async with translate_errors(connection):
        rules_id: int = await connection.fetchval(QUERIES["keep_rules"], encoded.digest, encoded.content)
        at: datetime = await connection.fetchval(QUERIES["put_rules_in_force"], rules_id, applied_by, why)
    return Application(rules_id, encoded.digest, applied_by, why, at)


async def recall_version(connection: Connection, rules_id: int | None, digest: str) -> RulesVersion:
    """Read a version of the rules, unless it was read before.

    Args:
        connection: a session, inside ``translate_errors``.
        rules_id: which version; ``None`` where none is in force.
        digest: its digest.

    Raises:
        RulesUnavailable: no version is in force, or a newer version of this program stored it.
    """
    if rules_id is None:
        raise RulesUnavailable(NO_RULES)
    key = rules_id, digest
    if key not in _cache:
        content = await connection.fetchval(QUERIES["read_rules"], rules_id)
        _remember(RulesVersion(*key, _decode(rules_id, content)))
    return _cache[key]


def _decode(rules_id: int, content: str) -> Rules:
    try:
        return decode_rules(content)
    except NewerRulesError as error:
        message = f"version {rules_id} of the rules cannot be used: {error}"
        raise RulesUnavailable(message) from error


def _remember(version: RulesVersion) -> None:
    _cache[version.id, version.digest] = version
    while len(_cache) > _CACHED:
        del _cache[next(iter(_cache))]
