"""Sending dead letters back: one that a topic does not take does not keep the others from it."""

from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from tests.unit.fakes import FakeAppender
from worker.commands import dead_letters
from worker.kafka.errors import MessageTooLarge


async def test_a_record_that_its_topic_does_not_take_is_reported_and_the_others_are_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    origin = SimpleNamespace(topic="procore.budgets")
    listed = SimpleNamespace(reason="unreadable", origin=origin, message_id=None)
    letter = SimpleNamespace(listed=listed, key=b"k", value=b"v", headers=())
    sources = SimpleNamespace(dead_letters="d", sources=("procore.budgets",))
    url = SimpleNamespace(get_secret_value=str)
    appender: Any = FakeAppender(MessageTooLarge("too large"))

    @asynccontextmanager
    async def open_session(_: str) -> Any:
        yield None

    async def read_one(*_: Any) -> Any:
        return letter

    async def close(_: float) -> None: ...

    appender.close = close
    monkeypatch.setattr(dead_letters, "read_settings", lambda _: SimpleNamespace(topics=sources, database_url=url))
    monkeypatch.setattr(dead_letters, "connect_kafka", lambda _: None)
    monkeypatch.setattr(dead_letters, "Appender", lambda _: appender)
    monkeypatch.setattr(dead_letters, "open_checked_session", open_session)
    monkeypatch.setattr(dead_letters, "_read_one", read_one)
    replayed = await dead_letters._replay({UUID(int=1): None, UUID(int=2): None})
    assert (replayed.sent, len(appender.appended)) == (1, 1)
    assert replayed.refused == (f"{UUID(int=1)}: too large",)
