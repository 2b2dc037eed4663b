"""Opens the database for a command that needs nothing else."""

from contextlib import AbstractAsyncContextManager

from outbox.database import Connection
from outbox.migrate import open_checked_session
from worker.settings import DatabaseSettings, read_settings


def open_database() -> AbstractAsyncContextManager[Connection]:
    """Open a session on the database of DATABASE_URL, whose schema must be that of this version.

    Raises:
        ConfigurationError: DATABASE_URL is not set or cannot be used.
        SchemaMismatch: the database was not migrated to this version.
        DatabaseDown: Postgres does not answer.
    """
    return open_checked_session(read_settings(DatabaseSettings).database_url.get_secret_value())
