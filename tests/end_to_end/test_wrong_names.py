"""A start with the wrong group, topics or database ends with exit code 2, and leaves everything as it was."""

import asyncio

import asyncpg

from tests.end_to_end.harness import Bridge
from tests.exactly_once.deployment import create_database
from tests.unit.builders import KEY, accept, lock


async def carry_one(bridge: Bridge) -> None:
    worker = bridge.start()
    await bridge.send(lock(), accept())
    await bridge.wait_for("spectrum.export.v1")
    await bridge.wait_until_carried()
    await bridge.stop(worker)


async def read_all_rows(url: str) -> dict[str, list[str]]:
    """Every row of a database."""
    connection = await asyncpg.connect(url)
    try:
        names = [
            row[0] for row in await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        ]
        found = {}
        for name in names:
            query = f"select row.*::text from {name} as row order by 1"
            found[name] = [row[0] for row in await connection.fetch(query)]
        return found
    finally:
        await connection.close()


async def test_a_start_that_is_refused_leaves_a_fresh_database_as_it_was(bridge: Bridge) -> None:
    """Its TOPIC_PREFIX names the topics of another deployment, whose group it uses."""
    await carry_one(bridge)
    fresh = await create_database(bridge.database_url)
    assert (await asyncio.to_thread(bridge.command, "migrate", DATABASE_URL=fresh)).returncode == 0
    before = await read_all_rows(fresh)
    refused = await asyncio.to_thread(bridge.command, "run", DATABASE_URL=fresh)
    assert (refused.returncode, "is carried by another database" in refused.stderr) == (2, True)
    group = f"{bridge.prefix}fresh"
    no_rules = await asyncio.to_thread(
        bridge.command, "run", DATABASE_URL=fresh, KAFKA_GROUP_ID=group, RULES_DIR=str(bridge.folder)
    )
    assert (no_rules.returncode, "rules.toml: there is no such file" in no_rules.stderr) == (2, True)
    assert await read_all_rows(fresh) == before


async def test_another_group_or_prefix_is_refused_before_anything_is_copied(bridge: Bridge) -> None:
    await carry_one(bridge)
    before = await read_all_rows(bridge.database_url)
    copied = await bridge.count_records("bridge.inbox")
    group, other = f"{bridge.prefix}bridge", f"{bridge.prefix}typo."
    assert (await asyncio.to_thread(bridge.command, "topics", TOPIC_PREFIX=other)).returncode == 0
    for variable, value, problem in (
        ("KAFKA_GROUP_ID", f"{group}e", f"belongs to consumer group {group}, not to {group}e: set KAFKA_GROUP_ID to"),
        ("TOPIC_PREFIX", other, f"belongs to the inbox {bridge.prefix}bridge.inbox, not to {other}bridge.inbox"),
    ):
        refused = await asyncio.to_thread(bridge.command, "run", **{variable: value})
        assert (refused.returncode, problem in refused.stderr, variable in refused.stderr) == (2, True, True)
        command = ("reset", str(KEY), "--by", "ann", "--why", "test", "--yes")
        refused = await asyncio.to_thread(bridge.command, *command, **{variable: value})
        assert (refused.returncode, problem in refused.stderr) == (2, True)
        shown = await asyncio.to_thread(bridge.command, "doctor", **{variable: value})
        assert (shown.returncode, problem.partition(": ")[0] in shown.stdout) == (1, True)
    assert await bridge.count_records("bridge.inbox") == copied
    assert await bridge.count_records("bridge.commands") == 0
    assert await read_all_rows(bridge.database_url) == before
    await bridge.send(lock(1, key=KEY._replace(project_id=7)))
    bridge.start()
    await bridge.wait_for("approval.requested.v1", project_id=7)
    await bridge.wait_until_carried()
