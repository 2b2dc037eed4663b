"""The bridge with roles that have exactly what ``budget-bridge grants`` prints, and with one right less at a time."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final, get_args
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from outbox.rights import RIGHTS, Part, Right
from tests.end_to_end.harness import Bridge
from tests.end_to_end.test_doctor import ask, find_problems
from tests.unit.builders import KEY, accept, acknowledge, lock

_READ_BY: Final = {
    # What reads it.
    "public": ("status",),
    "migrations": ("status",),
    "deployment": ("reconcile",),
    "rules": ("rules", "show"),
    "rule_applications": ("rules", "history"),
    "positions": ("status",),
    "history": ("status", str(KEY)),
    "budgets": ("drift",),
    "readings": ("drift", str(KEY)),
    "outbox": ("status", str(KEY)),
    "holds": ("status", str(KEY)),
    "accepted_differences": ("reconcile", "--accepted"),
    "is_hold_to_come": ("reconcile",),
    "find_dead_letters": ("dead-letters", "list"),
}


@dataclass
class Roles:
    """A role for each part, with a session of the owner of the schema."""

    owner: asyncpg.Connection
    url: str
    name: str = field(default_factory=lambda: secrets.token_hex(4))

    def role(self, part: Part) -> str:
        return f"{part}_{self.name}"

    def url_of(self, part: Part) -> str:
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(netloc=f"{self.role(part)}:narrow@{parts.netloc.rpartition('@')[2]}"))

    async def change(self, verb: str, right: Right, part: Part) -> None:
        """Grant a right, or revoke it."""
        kind = {"usage": "schema", "execute": "function"}.get(right.privilege, "table")
        preposition = "to" if verb == "grant" else "from"
        await self.owner.execute(f"{verb} {right.verb} on {kind} {right.on} {preposition} {self.role(part)}")


@pytest.fixture
async def roles(bridge: Bridge) -> AsyncIterator[Roles]:
    """Roles that have what the command prints, in a database where nothing is given to everybody."""
    owner = await asyncpg.connect(bridge.database_url)
    roles = Roles(owner, bridge.database_url)
    await owner.execute(
        "revoke all on schema public from public; revoke all on all functions in schema public from public"
    )
    for part in get_args(Part):
        await owner.execute(f"create role {roles.role(part)} login password 'narrow'")
        printed = await asyncio.to_thread(bridge.command, "grants", part, roles.role(part))
        await owner.execute(printed.stdout)
    yield roles
    bridge.database_url = roles.url
    for part in get_args(Part):
        await owner.execute(f"drop owned by {roles.role(part)}; drop role {roles.role(part)}")
    await owner.close()


async def command(bridge: Bridge, roles: Roles, part: Part, *arguments: str) -> tuple[int, str]:
    done = await asyncio.to_thread(bridge.command, *arguments, DATABASE_URL=roles.url_of(part))
    return done.returncode, done.stdout + done.stderr


def say(right: Right, part: Part, roles: Roles) -> str:
    role = roles.role(part)
    return f"role {role} lacks {right}: run what `budget-bridge grants {part} {role}` prints, as the owner"


async def test_the_whole_path_works_with_the_roles_that_are_printed(bridge: Bridge, roles: Roles) -> None:
    first = await command(bridge, roles, "rules", "rules", "apply", "--by", "ann", "--why", "test")
    assert first[0] == 0, first
    bridge.settings["RULES_DIR"] = ""
    bridge.database_url = roles.url_of("read")
    bridge.settings["DATABASE_URL"] = roles.url_of("run")
    worker = bridge.start()
    await bridge.send(lock(), accept())
    await bridge.wait_for("spectrum.export.v1")
    await bridge.send(acknowledge("success"))
    await bridge.send_raw("procore.budgets", b"no message")
    await bridge.wait_for("budget.status.v1", status="SYNCED")
    await bridge.wait_until(lambda: len(bridge.dead_letters()) == 1, "the dead letter")
    await bridge.wait_until_carried()
    for arguments in (
        *_READ_BY.values(),
        ("reconcile",),
        ("reset", str(KEY), "--by", "ann", "--why", "test", "--yes"),
        ("prune", "--older-than", "0s", "--dry-run"),
    ):
        done = await command(bridge, roles, "read", *arguments)
        assert done[0] == 0, (arguments, done)
    await bridge.wait_until_carried()
    for part in ("run", "read"):
        status, checks = await ask(bridge, DATABASE_URL=roles.url_of(part))
        assert (status, [check for check in checks if check["state"] != "ok"]) == (0, [])
    pruned = await command(bridge, roles, "prune", "prune", "--older-than", "0s", "--yes")
    assert (pruned[0], "pruned: " in pruned[1], "pruned: 0" in pruned[1]) == (0, True, False), pruned
    accepted = await command(bridge, roles, "accept", "reconcile", "--accept", "all", "--by", "ann", "--why", "test")
    assert accepted == (1, "nothing differs there, apart from what was accepted before\n")
    await bridge.stop(worker)


async def test_a_worker_that_lacks_a_right_names_it_waits_and_loses_nothing(bridge: Bridge, roles: Roles) -> None:
    run = roles.role("run")
    bridge.database_url = roles.url_of("run")
    refused = await asyncio.to_thread(bridge.command, "run")
    assert refused.returncode == 2
    assert "it lacks insert (digest, content) on rules): run `budget-bridge rules apply` with a role" in refused.stderr
    await command(bridge, roles, "rules", "rules", "apply", "--by", "ann", "--why", "test")
    needed = {(right.privilege, right.on): right for right in RIGHTS["run"]}
    # At the start it needs these, and never again.
    first = needed["usage", "public"], needed["update", "deployment"], needed["insert", "positions"]
    for right in first:
        await roles.change("revoke", right, "run")
    worker = bridge.start()
    for right in first:
        await wait_for_log(bridge, "database.lost", say(right, "run", roles))
        await roles.change("grant", right, "run")
    await wait_for_log(bridge, "database.regained", "")
    for number, right in enumerate(
        needed[on]
        for on in (
            *(("select", "rules"), ("select", "history"), ("insert", "history"), ("update", "history")),
            *(("insert", "budgets"), ("update", "budgets"), ("insert", "outbox"), ("update", "positions")),
            *(("execute", "share_rules_in_force"), ("select", "rule_applications"), ("usage", "public")),
        )
    ):
        key, before = KEY._replace(project_id=number + 1), len(bridge.read_log())
        await roles.change("revoke", right, "run")
        # An acceptance that comes first is parked, and its verdict changes when the lock comes.
        bridge.remember_locks([lock(key=key)])
        await bridge.send(accept(key=key))
        await bridge.send(lock(key=key))
        await wait_for_log(bridge, "database.lost", say(right, "run", roles), before)
        problems = await find_problems(bridge)
        assert any(f"role {run} lacks" in found and str(right) in found for found in problems), problems
        await roles.change("grant", right, "run")
        await bridge.wait_for("spectrum.export.v1", 1, project_id=key.project_id)
    assert worker.poll() is None
    bridge.database_url = roles.url
    await bridge.wait_until_carried()


async def wait_for_log(bridge: Bridge, event: str, why: str, since: int = 0) -> None:
    def is_there() -> bool:
        return any(line["event"].startswith(event) and why in line.get("why", "") for line in bridge.read_log()[since:])

    await bridge.wait_until(is_there, f"{event}: {why}")


async def test_a_command_that_lacks_a_right_names_it(bridge: Bridge, roles: Roles) -> None:
    bridge.start()
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    await bridge.wait_until_carried()
    for right in RIGHTS["read"]:
        await roles.change("revoke", right, "read")
        status, printed = await command(bridge, roles, "read", *_READ_BY[right.on])
        assert (status, say(right, "read", roles) in printed) == (2, True), (right, printed)
        problems = await find_problems(bridge, DATABASE_URL=roles.url_of("read"))
        assert any(
            "lacks, for every command that changes nothing in the database" in found and str(right) in found
            for found in problems
        ), problems
        await roles.change("grant", right, "read")
    bridge.write_rules(approvers_csv="company_id,project_id,user\n4211,,ann\n4211,,bob\n")
    commands: dict[Part, tuple[str, ...]] = {
        "prune": ("prune", "--older-than", "0s", "--yes"),
        "rules": ("rules", "apply", "--by", "ann", "--why", "test"),
    }
    for part, arguments in commands.items():
        # From the last on: what works until a right is missing leaves less to do for the next.
        for right in reversed(RIGHTS[part]):
            if right.changes:
                await roles.change("revoke", right, part)
                status, printed = await command(bridge, roles, part, *arguments)
                assert (status, say(right, part, roles) in printed) == (2, True), (right, printed)
                await roles.change("grant", right, part)
        status, printed = await command(bridge, roles, part, *arguments)
        assert status == 0, printed
    bridge.write_rules()
    status, printed = await command(bridge, roles, "read", *commands["rules"])
    assert (status, f"grants rules {roles.role('read')}" in printed) == (2, True), printed
    status, printed = await command(bridge, roles, "run", "migrate")
    assert (status, "use the owner of the schema for `budget-bridge migrate`" in printed) == (2, True), printed
