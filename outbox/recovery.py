"""Changes the database for ``budget-bridge recover``: all in one transaction, which a dry run rolls back."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

from contracts.budget_key import BudgetKey
from contracts.inbox import Arrival
from contracts.topics import TopicNames
from handlers.budget import Budget
from outbox.audit import Snapshot
from outbox.batch import DecisionFailedError
from outbox.columns import transpose
from outbox.database import Connection, DatabaseBusy, open_session, translate_errors
from outbox.identity import Identity, identify
from outbox.position import Position, read_positions, start_position
from outbox.queries import QUERIES
from outbox.splitting import split_batch
from outbox.store import store_within
from outbox.writing import write_budgets, write_readings


class Recovery:
    """The database while it is being recovered; nobody else sees a change until ``keep``."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.snapshot = Snapshot(connection)
        """The database with all changes made so far."""

    async def read_positions(self) -> dict[int, Position]:
        """Read the position of every lane without taking any."""
        return await read_positions(self.connection)

    async def put_position(self, inbox_partition: int, next_offset: int) -> Position:
        """Set a lane's position, whatever it was; a previous owner cannot continue."""
        async with translate_errors(self.connection):
            await self.connection.execute(QUERIES["drop_position"], inbox_partition)
        return await start_position(self.connection, inbox_partition, next_offset, uuid4())

    async def store_again(self, position: Position, arrivals: Sequence[Arrival], topics: TopicNames) -> Position:
        """Decide and store again what arrived after the backup; a message on which deciding fails is held.

        Args:
            position: where the lane is.
            arrivals: the next records of its inbox partition, at least one.
            topics: how the topics of this deployment are named.

        Returns:
            The position after them.
        """
        async for part in split_batch(self.connection, arrivals):
            position = await self._store_again(position, part, topics)
        return position

    async def _store_again(self, position: Position, arrivals: Sequence[Arrival], topics: TopicNames) -> Position:
        failing: frozenset[Identity] = frozenset()
        async with translate_errors(self.connection):
            while True:
                await self.connection.execute("savepoint batch")
                try:
                    after, _ = await store_within(self.connection, position, arrivals, topics, failing)
                except DecisionFailedError as failed:
                    await self.connection.execute("rollback to savepoint batch")
                    failing |= {identify(failed.arrival)}
                else:
                    await self.connection.execute("release savepoint batch")
                    return after

    async def forget_log(self, inbox_partition: int) -> None:
        """Free the offsets of a log that no longer exists; its messages are kept, in order before all new ones."""
        async with translate_errors(self.connection):
            for name in ("shift_history", "shift_outbox", "shift_holds"):
                await self.connection.execute(QUERIES[name], inbox_partition)

    async def hold(self, budgets: Mapping[BudgetKey, str], partitions: Mapping[BudgetKey, int]) -> None:
        """Put budgets on hold at once; their next message is the first one that is held.

        Args:
            budgets: the budgets, each with the reason.
            partitions: the inbox partition of each of them.
        """
        columns = transpose(budgets, 3)
        async with translate_errors(self.connection):
            await self.connection.execute(
                QUERIES["add_holds_to_come"], *columns, list(budgets.values()), [partitions[key] for key in budgets]
            )

    async def put_budgets(self, inbox_partition: int, budgets: Mapping[BudgetKey, Budget]) -> None:
        """Store rebuilt budgets of one lane in the place of whatever is stored.

        Raises:
            PositionLost: one of them was changed meanwhile.
        """
        columns = transpose(budgets, 3)
        async with translate_errors(self.connection):
            rows = await self.connection.fetch(QUERIES["read_revisions"], *columns)
            revisions = {BudgetKey(*row[:3]): row[3] for row in rows}
            await write_budgets(self.connection, inbox_partition, revisions, budgets)
            await self.connection.execute(QUERIES["drop_readings"], *columns)
            await write_readings(self.connection, budgets, {})
            await self.connection.execute(QUERIES["show_holds_to_come"])

    async def read_held(self) -> set[BudgetKey]:
        """Read which budgets are on hold, or will be with their next message."""
        async with translate_errors(self.connection):
            return {BudgetKey(*row) for row in await self.connection.fetch(QUERIES["read_held"])}

    async def keep(self) -> None:
        """Commit all changes."""
        async with translate_errors(self.connection):
            await self.connection.execute("commit")


@asynccontextmanager
async def open_recovery(database_url: str) -> AsyncIterator[Recovery]:
    """Begin a recovery; it is rolled back unless ``keep`` is called.

    Raises:
        DatabaseBusy: ``budget-bridge prune`` is running.
    """
    async with open_session(database_url, transaction_seconds=None) as connection:
        async with translate_errors(connection):
            await connection.execute("begin isolation level repeatable read")
            is_alone = await connection.fetchval(QUERIES["lock_out_pruning"])
        if not is_alone:
            message = "`budget-bridge prune` is running on this database: wait until it has ended, or stop it"
            raise DatabaseBusy(message)
        yield Recovery(connection)
