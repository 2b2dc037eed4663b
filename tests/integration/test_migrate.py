"""Migrations, on a real Postgres: run by many at once, and on a database with data of an older version."""

import asyncio
import json
from importlib.resources import files

import pytest

from outbox.database import connect
from outbox.migrate import SchemaMismatch, check_schema, list_migrations, migrate


class TestMigrate:
    async def test_twenty_at_once(self, database_url: str) -> None:
        sessions = await asyncio.gather(*(connect(database_url) for _ in range(20)))
        applied = await asyncio.gather(*(migrate(session) for session in sessions))
        assert sum(map(len, applied)) == len(list_migrations())
        await asyncio.gather(*(session.close() for session in sessions))

    async def test_a_schema_that_does_not_fit(self, database_url: str) -> None:
        session = await connect(database_url)
        with pytest.raises(SchemaMismatch, match="budget-bridge migrate"):
            await check_schema(session)
        await migrate(session)
        await check_schema(session)
        await session.execute("delete from migrations where number = 12")
        with pytest.raises(SchemaMismatch, match="lacks migration 12"):
            await check_schema(session)
        await session.execute("insert into migrations (number, name) values (12, 'again')")
        await session.execute("insert into migrations (number, name) values (9999, 'newer')")
        with pytest.raises(SchemaMismatch, match="newer"):
            await migrate(session)
        await session.close()


async def test_a_database_of_the_fourth_schema_is_upgraded_with_what_is_in_it(database_url: str) -> None:
    session = await connect(database_url)
    await session.execute("create table migrations (number integer primary key, name text not null)")
    await session.execute("alter table migrations add applied_at timestamptz not null default now()")
    for number, name in list_migrations().items():
        if number <= 4:
            await session.execute((files("outbox") / "migrations" / name).read_text())
            await session.execute("insert into migrations (number, name) values ($1, $2)", number, name)
    await session.execute(
        "insert into history (company_id, project_id, source, id, inbox_partition, inbox_offset, at, origin_topic,"
        " origin_partition, origin_offset, origin_timestamp_ms, type, budget_id, budget_version, headers, verdict,"
        " detail, rules_id) values"
        " (0, 0, 't/0', '1@2', 0, 1, now(), 't', 0, 1, 2, null, null, null, '[]', 'dead_lettered', '', 1),"
        " (1, 2, 's', 'i', 0, 2, now(), 't', 0, 2, 2, 'budget.locked.v1', 3, 1, '[]', 'applied', '', 1)"
    )
    await session.execute(
        "insert into budgets (company_id, project_id, budget_id, revision, inbox_partition, overdue, on_hold, parked,"
        " claims_job, sequence, state) select 1, n, 3, 1, 0, false, false, 0, true, 0, state"
        " from unnest($1::json[]) with ordinality as given (state, n)",
        [json.dumps({"tries": [[1, 1], [2, 3]]}), json.dumps({"format": 1, "tries": [{"version": 1}]}), "[]", "{}"],
    )
    applied = await migrate(session)
    # Until then each budget counted its change references by its exports.
    rows = await session.fetch("select last_reference from budgets order by project_id")
    assert [row[0] for row in rows] == [2, 1, 0, 0]
    assert [name[:4] for name in applied[:2]] == ["0005", "0006"]
    rows = await session.fetch("select id, type from history order by inbox_offset")
    assert [tuple(row) for row in rows] == [("1@2", ""), ("i", "budget.locked.v1")]
    # The same source and id with another type is another message from now on.
    await session.execute(
        "insert into history select company_id, project_id, source, id, inbox_partition, 9, at, origin_topic,"
        " origin_partition, origin_offset, origin_timestamp_ms, 'budget.reset.v1', budget_id, budget_version, key,"
        " headers, body, verdict, detail, rules_id, pruned from history where inbox_offset = 2"
    )
    await session.close()
