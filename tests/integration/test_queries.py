"""Postgres accepts every statement of the program, on the current schema."""

import asyncpg

from outbox.database import Connection
from outbox.queries import QUERIES


async def test_postgres_takes_every_statement(connection: Connection) -> None:
    refused = {}
    for name, query in QUERIES.items():
        try:
            await connection.prepare(query)
        except asyncpg.PostgresError as error:
            refused[name] = str(error)
    assert refused == {}
