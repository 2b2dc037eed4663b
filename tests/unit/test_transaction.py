"""How a transaction ends: a stop waits for no rollback, and a session in an unknown state is not used again."""

import asyncio
from typing import Any

import pytest

from outbox import database
from outbox.database import DatabaseDown, transaction


class Session:
    """A session as asyncpg has it: it keeps what it was asked, and can stop answering."""

    def __init__(self, *silent_on: str) -> None:
        self.asked: list[str] = []
        self.terminated = False
        self._silent_on = silent_on

    async def execute(self, statement: str) -> str:
        self.asked.append(statement)
        if statement in self._silent_on:
            await asyncio.Event().wait()
        return statement.upper()

    def is_closed(self) -> bool:
        return self.terminated

    def terminate(self) -> None:
        self.terminated = True


def _refuse() -> None:
    message = "a bug"
    raise ValueError(message)


async def run(session: Any, work: Any = lambda: None) -> None:
    async with transaction(session):
        work()


async def test_it_commits_or_rolls_back_on_a_session_that_stays_usable() -> None:
    session = Session()
    await run(session)
    with pytest.raises(ValueError, match="a bug"):
        await run(session, _refuse)
    assert (session.asked, session.terminated) == (["begin", "commit", "begin", "rollback"], False)


@pytest.mark.parametrize("where", ["begin", "commit"])
async def test_a_stop_in_the_middle_drops_the_session_at_once(where: str) -> None:
    session = Session(where, "rollback")
    working = asyncio.create_task(run(session))
    await asyncio.sleep(0)
    working.cancel()
    async with asyncio.timeout(0.5):
        with pytest.raises(asyncio.CancelledError):
            await working
    assert (session.asked[-1], session.terminated) == (where, True)


async def test_a_rollback_that_is_not_answered_drops_the_session_and_hides_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "ROLLBACK_SECONDS", 0.01)
    session = Session("rollback")
    with pytest.raises(ValueError, match="a bug"):
        await run(session, _refuse)
    assert session.terminated


async def test_a_stop_during_the_rollback_drops_the_session() -> None:
    session = Session("rollback")
    working = asyncio.create_task(run(session, _refuse))
    await asyncio.sleep(0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert session.terminated


async def test_a_commit_that_postgres_answers_with_a_rollback_is_no_commit() -> None:
    class Failed(Session):
        async def execute(self, statement: str) -> str:
            answer = await super().execute(statement)
            return "ROLLBACK" if statement == "commit" else answer

    with pytest.raises(DatabaseDown, match="ended with ROLLBACK"):
        await run(Failed())
