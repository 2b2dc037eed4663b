"""Which rights in Postgres each part of the program needs: the one list of them, and the SQL that grants them.

A part is what one role is for. Whoever owns the schema runs ``migrate`` and ``recover``, and needs no list.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

Part: TypeAlias = Literal["run", "read", "prune", "rules", "accept"]
Privilege: TypeAlias = Literal["usage", "execute", "select", "insert", "update", "delete"]

SCHEMA: Final = "public"


class Right(NamedTuple):
    """One right: a privilege on a table, on the schema, or on a function."""

    privilege: Privilege
    on: str
    columns: tuple[str, ...] = ()
    """The only columns that it is for; of all where there are none."""

    def __str__(self) -> str:
        return f"{self.verb} on {self.on}"

    @property
    def verb(self) -> str:
        """The privilege with its columns, as SQL has it."""
        return f"{self.privilege} ({', '.join(self.columns)})" if self.columns else self.privilege

    @property
    def changes(self) -> bool:
        """Whether it is for changing something; no two parts share such a right."""
        return self.privilege in {"insert", "update", "delete"}


def _read(*tables: str, calls: tuple[str, ...] = ()) -> tuple[Right, ...]:
    return (
        Right("usage", SCHEMA),
        *(Right("select", table) for table in ("migrations", *tables)),
        *(Right("execute", function) for function in calls),
    )


_READ: Final = _read(
    *("deployment", "rules", "rule_applications", "positions", "history", "budgets", "readings", "outbox", "holds"),
    "accepted_differences",
    calls=("is_hold_to_come", "find_dead_letters"),
)

RIGHTS: Final[Mapping[Part, tuple[Right, ...]]] = {
    "run": (
        *_read(
            *("deployment", "rules", "rule_applications", "positions", "history", "budgets", "readings", "outbox"),
            "holds",
            calls=("share_rules_in_force",),
        ),
        Right("update", "deployment", ("group_id", "inbox", "inbox_partitions")),
        Right("insert", "positions"),
        Right("update", "positions", ("owner", "next_offset", "last_offset", "last_timestamp_ms", "last_hash")),
        Right("insert", "history"),
        Right("update", "history", ("verdict", "detail")),
        Right("insert", "budgets"),
        Right("update", "budgets"),
        Right("insert", "readings"),
        Right("update", "readings", ("content",)),
        Right("insert", "outbox"),
        Right("insert", "holds"),
        Right("update", "holds", ("inbox_offset",)),
    ),
    "read": _READ,
    "prune": (
        *_read("deployment", "history", "budgets", "outbox", "holds"),
        Right("update", "deployment", ("pruned_before",)),
        Right("update", "history", ("pruned", "key", "headers", "body")),
        Right("delete", "outbox"),
    ),
    "rules": (
        *_read("rules", "rule_applications", "history", "budgets"),
        Right("insert", "rules", ("digest", "content")),
        Right("insert", "rule_applications", ("rules_id", "applied_by", "why")),
    ),
    "accept": (
        *_READ,
        Right(
            "insert",
            "accepted_differences",
            ("digest", "claim", "kind", "company_id", "project_id", "budget_id", "found", "accepted_by", "why"),
        ),
    ),
}

COMMANDS: Final[Mapping[Part, str]] = {
    "run": "`budget-bridge run`",
    "read": "every command that changes nothing in the database, also those that send a message",
    "prune": "`budget-bridge prune`",
    "rules": "`budget-bridge rules`",
    "accept": "`budget-bridge reconcile --accept`",
}
"""What each part is."""


def write_grants(part: Part, role: str) -> Iterator[str]:
    """Write the SQL that grants a role what a part needs; it takes nothing away.

    Args:
        part: which part.
        role: the role, as ``create role`` has named it.

    Yields:
        Comments and statements, one on each line.
    """
    to = f'to "{role.replace(chr(34), 2 * chr(34))}";'
    yield f"-- For {COMMANDS[part]}. Run this as the owner of the schema, again after each `budget-bridge migrate`."
    yield "-- The role must exist, and may connect to the database unless that was revoked from everybody."
    rights = RIGHTS[part]
    yield f"grant usage on schema {SCHEMA} {to}"
    tables = ", ".join(f"{SCHEMA}.{right.on}" for right in rights if right.privilege == "select")
    yield f"grant select on {tables} {to}"
    if functions := ", ".join(f"{SCHEMA}.{right.on}" for right in rights if right.privilege == "execute"):
        yield f"grant execute on function {functions} {to}"
    for right in rights:
        if right.changes:
            yield f"grant {right.verb} on {SCHEMA}.{right.on} {to}"
