"""What keeps aiokafka in its group, beside what the tests with servers show."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError

from worker.kafka.membership import attend_group


class Client:
    """aiokafka's client with a group, as far as its membership goes."""

    def __init__(self, heartbeat: "asyncio.Task[Any] | None", refresh: "asyncio.Task[Any] | None") -> None:
        self._coordinator = self._subscription = self.subscription = self
        self.assignment = "what is assigned"
        self.read_again: list[str] = []
        self._heartbeat_task, self._commit_refresh_task = heartbeat, refresh
        self.rejoins, self.fetches = 0, 0
        self.error: Exception | None = None

    def request_rejoin(self) -> None:
        self.rejoins += 1

    def start_commit_offsets_refresh_task(self, assignment: str) -> None:
        self.read_again.append(assignment)

    @contextmanager
    def fetch_context(self) -> Iterator[None]:
        self.fetches += 1
        yield

    def check_errors(self) -> None:
        if self.error:
            raise self.error


async def end(error: BaseException | None) -> "asyncio.Task[None]":
    async def work() -> None:
        if error:
            raise error

    task = asyncio.create_task(work())
    await asyncio.wait({task})
    return task


async def test_heartbeats_that_have_failed_are_started_again_by_a_rebalance() -> None:
    client: Any = Client(await end(GroupAuthorizationFailedError("g")), None)
    attend_group(client)
    assert (client.rejoins, client.fetches, client.read_again) == (1, 1, [])


async def test_offsets_are_read_again_without_a_rebalance() -> None:
    client: Any = Client(None, await end(GroupAuthorizationFailedError("g")))
    attend_group(client)
    assert (client.rejoins, client.fetches, client.read_again) == (0, 1, ["what is assigned"])


async def test_what_runs_or_was_stopped_is_left_alone() -> None:
    running = asyncio.create_task(asyncio.Event().wait())
    for task in (running, await end(None), await end(asyncio.CancelledError())):
        client: Any = Client(task, task)
        attend_group(client)
        assert (client.rejoins, client.read_again) == (0, [])
    running.cancel()


async def test_an_error_of_the_group_is_raised_and_tried_again_all_the_same() -> None:
    client: Any = Client(await end(GroupAuthorizationFailedError("g")), None)
    client.error = GroupAuthorizationFailedError("g")
    with pytest.raises(GroupAuthorizationFailedError):
        attend_group(client)
    assert (client.rejoins, client.fetches) == (1, 1)
