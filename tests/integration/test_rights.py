"""The rights of each part, on a real Postgres: each statement needs no more than its part has, and no less."""

import re
import secrets
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from typing import Final

import asyncpg
import pytest

from outbox.database import Connection, RightMissing, connect, open_session, translate_errors
from outbox.missing_rights import find_parts
from outbox.queries import QUERIES
from outbox.rights import RIGHTS, Part, Right, write_grants
from outbox.server import read_rights
from outbox.writing import _BUDGETS, _HISTORY, _OUTBOX

OWNERS: Final = {
    # Of `recover`, which runs as the owner of the schema.
    *("rename_inbox", "lock_out_pruning", "put_position", "shift_history", "shift_outbox", "shift_holds"),
    *("drop_position", "add_holds_to_come", "read_held", "read_revisions", "drop_readings", "show_holds_to_come"),
}
_RUN: Final = (
    *(
        "take_position",
        "start_position",
        "move_position",
        "find_known",
        "load_known_message",
        "load_budgets",
        "measure_readings",
    ),
    *("load_held_messages", "resolve_history", "change_budgets", "put_readings", "hold_budgets"),
    *("add_holds", "read_outbox", "find_due", "read_deployment", "read_first_start"),
    *("record_first_start", "share_rules_in_force", "read_rules", "find_rule_application", "count_statuses"),
    *("count_read_back", "read_server", "list_missing_rights"),
)
_READ: Final = (
    *(name for name in QUERIES if name.startswith(("audit_", "trail_"))),
    *(
        name
        for name in QUERIES
        if name.startswith(("count_", "list_", "show_", "find_dead_letter"))
        if name not in OWNERS
    ),
    *("read_deployment", "read_first_start", "find_lost_jobs", "read_positions", "read_server", "read_pruned_before"),
    *("read_rules", "find_rule_application", "read_accepted_digests", "find_cutoff", "find_old_rows"),
    *("find_old_messages", "load_known_message"),
    # Of the desk, which only reads.
    *re.findall(r"^-- name: (\w+)$", (files("outbox") / "sql" / "desk.sql").read_text(), re.MULTILINE),
)
_PRUNE: Final = (
    *("lock_pruning", "find_cutoff", "find_old_rows", "drop_rows", "find_old_messages", "drop_bytes"),
    *("remember_pruning", "read_deployment", "read_server"),
)
_RULES: Final = (
    *("lock_rules", "keep_rules", "put_rules_in_force", "list_rule_applications", "find_rule_application"),
    *("count_rule_applications", "list_invalid_budgets", "find_lost_jobs", "read_rules", "read_server"),
)
STATEMENTS: Final[dict[Part, tuple[str, ...]]] = {
    "run": _RUN,
    "read": _READ,
    "prune": _PRUNE,
    "rules": _RULES,
    "accept": (*_READ, "accept_differences"),
}
COPIED: Final = (("history", _HISTORY), ("budgets", _BUDGETS), ("outbox", _OUTBOX))
"""What is written by COPY, which cannot be explained; it needs what an INSERT of these columns needs."""


def list_statements(part: Part) -> Iterator[str]:
    yield "select number from public.migrations"
    for name in STATEMENTS[part]:
        yield QUERIES[name]
    if part == "run":
        for table, columns in COPIED:
            yield f"insert into {table} ({columns}) select {columns} from {table}"


async def try_all(connection: Connection, part: Part) -> str:
    """Check the rights of every statement of a part, as starting it does; return the first that is refused."""
    for statement in list_statements(part):
        try:
            await connection.execute(f"explain (generic_plan) {statement}")
        except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedTableError):
            return statement
    return ""


def split(right: Right) -> Iterator[Right]:
    """One right for each column."""
    if right.columns:
        yield from (right._replace(columns=(column,)) for column in right.columns)
    else:
        yield right


def write_right(right: Right) -> str:
    kind = {"usage": "schema ", "execute": "function "}.get(right.privilege, "")
    return f"{right.verb} on {kind}{right.on}"


@pytest.fixture
async def role(connection: Connection) -> AsyncIterator[str]:
    """A role, in a database where nothing is given to everybody."""
    name = f"narrow_{secrets.token_hex(4)}"
    await connection.execute(
        f"create role {name}; revoke all on schema public from public; "
        "revoke all on all functions in schema public from public"
    )
    yield name
    await connection.execute(f"drop owned by {name}; drop role {name}")


def test_every_statement_belongs_to_a_part() -> None:
    assert {name for names in STATEMENTS.values() for name in names} == QUERIES.keys() - OWNERS


async def test_every_table_and_function_is_named(connection: Connection) -> None:
    named = {right.on for part in RIGHTS.values() for right in part if right.privilege != "usage"}
    there = await connection.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm') "
        "union all select proname from pg_proc where pronamespace = 'public'::regnamespace "
        "and not exists (select from pg_depend where objid = pg_proc.oid and deptype = 'e')"
    )
    assert named == {row["relname"] for row in there}


@pytest.mark.parametrize("part", RIGHTS)
async def test_a_part_has_the_rights_that_its_statements_need_and_no_others(
    connection: Connection, database_url: str, role: str, part: Part
) -> None:
    await connection.execute("\n".join(write_grants(part, role)))
    narrow = await connect(database_url)
    try:
        await narrow.execute(f"set role {role}")
        assert await try_all(narrow, part) == ""
        rights = await read_rights(narrow)
        assert (rights.role, rights.missing[part], find_parts(rights.missing)) == (role, [], [part])
        for right in (one for whole in RIGHTS[part] for one in split(whole)):
            await connection.execute(f"revoke {write_right(right)} from {role}")
            assert await try_all(narrow, part), f"no statement of {part} needs {right}"
            await connection.execute(f"grant {write_right(right)} to {role}")
    finally:
        await narrow.close()


@pytest.mark.parametrize("part", RIGHTS)
async def test_whoever_lacks_a_right_is_told_which_and_what_to_do(
    connection: Connection, database_url: str, role: str, part: Part
) -> None:
    await connection.execute("\n".join(write_grants(part, role)))
    for right in RIGHTS[part]:
        await connection.execute(f"revoke {write_right(right)} from {role}")
        with pytest.raises(RightMissing) as raised:
            async with open_session(database_url) as session:
                await session.execute(f"set role {role}")
                refused = await try_all(session, part)
                # As within a lane's transaction, which then answers nothing more.
                await session.execute("begin")
                async with translate_errors(session):
                    await session.execute(f"explain (generic_plan) {refused}")
        assert f"role {role} lacks {right}: run what `budget-bridge grants {part} {role}` prints" in str(raised.value)
        await connection.execute(f"grant {write_right(right)} to {role}")


async def test_the_owner_lacks_nothing_and_a_role_without_rights_everything(connection: Connection, role: str) -> None:
    assert not any((await read_rights(connection)).missing.values())
    await connection.execute(f"set role {role}")
    rights = await read_rights(connection)
    await connection.execute("reset role")
    assert find_parts(rights.missing) == ["read"]
    assert "usage on public" in map(str, rights.missing["run"])


async def test_what_only_the_owner_may_do_is_said(database_url: str, connection: Connection, role: str) -> None:
    await connection.execute("\n".join(write_grants("run", role)))
    with pytest.raises(RightMissing, match=rf"role {role} may not do this .*: use the owner of the schema for"):
        async with open_session(database_url) as session, translate_errors(session):
            await session.execute(f"set role {role}")
            await session.execute("create table public.other (only_column integer)")
