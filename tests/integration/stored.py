"""Reads what a test has stored."""

from outbox.database import Connection


async def count_rows(connection: Connection, table: str) -> int:
    found: int = await connection.fetchval(f"select count(*) from {table}")
    return found


async def read_verdicts(connection: Connection) -> list[str]:
    return [row[0] for row in await connection.fetch("select verdict from history order by inbox_offset")]
