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
        self._coordinator = self._subscription = self
        self._heartbeat_task, self._commit_refresh_task = heartbeat, refresh
        self.rejoins, self.fetches = 0, 0
        self.error: Exception | None = None

    def request_rejoin(self) -> None:
        self.rejoins += 1

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


@pytest.mark.parametrize("which", ["heartbeat", "refresh"])
async def test_what_has_ended_with_an_error_is_started_again_by_a_rebalance(which: str) -> None:
    ended: dict[str, Any] = {"heartbeat": None, "refresh": None, which: await end(GroupAuthorizationFailedError("g"))}
    client: Any = Client(**ended)
    attend_group(client)
    assert (client.rejoins, client.fetches) == (1, 1)


async def test_what_runs_or_was_stopped_is_left_alone() -> None:
    running = asyncio.create_task(asyncio.Event().wait())
    for task in (running, await end(None), await end(asyncio.CancelledError())):
        client: Any = Client(task, None)
        attend_group(client)
        assert client.rejoins == 0
    running.cancel()


async def test_an_error_of_the_group_is_raised_and_tried_again_all_the_same() -> None:
    client: Any = Client(await end(GroupAuthorizationFailedError("g")), None)
    client.error = GroupAuthorizationFailedError("g")
    with pytest.raises(GroupAuthorizationFailedError):
        attend_group(client)
    assert (client.rejoins, client.fetches) == (1, 1)
