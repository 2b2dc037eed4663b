"""How a lane's batches reach Kafka: each is sent while the database stores it, and committed once that is done.

Its transaction begins, with the lane's offset, while the batch is still being decided: both take a round trip each.

What is sent and not committed is visible to nobody. So a batch that is not stored is never seen, and one that is stored
but not committed is published from the database by the restart path.
"""

import asyncio
from collections.abc import Sequence
from time import time_ns
from typing import Final, NamedTuple
from uuid import UUID

from contracts.inbox import Arrival
from contracts.records import Outgoing
from worker.cancellation import is_ending
from worker.kafka.group_offsets import GroupOffset
from worker.pipeline.lane_check import sign_offset
from worker.pipeline.lane_ports import TransactionalPublisher
from worker.telemetry.logs import Logger
from worker.telemetry.metrics import UNPUBLISHED, measure, measure_latency
from worker.telemetry.tracing import Traces

PUBLISH_SECONDS: Final = 10.0
"""Longest that each step of one Kafka transaction may take; Kafka gives up the whole of it after 20 s."""

_CANCEL_SECONDS: Final = 1.0


class _Open(NamedTuple):
    """A batch whose transaction is open: it is being decided, then sent."""

    task: "asyncio.Task[None]"
    offset: int
    records: "asyncio.Future[Sequence[Outgoing]]"
    """What it causes, once it is decided."""
    started_ns: int = 0


class Publication:
    """One lane's transactions, one after the other: at most one is sent, and at most one committed.

    Args:
        publisher: the lane's producer, started.
        number: the lane.
        deployment_id: what the group's offset is signed with.
        traces: where the spans of messages end.
        log: the lane's.
    """

    def __init__(
        self, publisher: TransactionalPublisher, number: int, deployment_id: UUID, traces: Traces, log: Logger
    ) -> None:
        self._publisher = publisher
        self._deployment_id = deployment_id
        self._traces = traces
        self._log = log
        self._unpublished = UNPUBLISHED.labels(str(number))
        self._open: _Open | None = None
        self._committing: asyncio.Task[None] | None = None

    async def publish(self, offset: int, records: Sequence[Outgoing], mark: str = "") -> None:
        """Publish what the database has stored already, and wait for it; ``mark`` goes with the group's offset."""
        started_ns = time_ns()
        await self._publisher.publish(self._sign(offset, mark), records, within=PUBLISH_SECONDS)
        self._record(offset, records, started_ns)

    def begin(self, offset: int) -> None:
        """Begin the transaction of a batch that is being decided, once the one before it is published."""
        records: asyncio.Future[Sequence[Outgoing]] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._send(self._committing, offset, records))
        self._open = _Open(task, offset, records)

    def send(self, records: Sequence[Outgoing]) -> None:
        """Begin to send what the batch causes, which is being stored."""
        if self._open:
            self._open.records.set_result(records)
            self._open = self._open._replace(started_ns=time_ns())

    async def abort(self) -> None:
        """Drop what was begun or sent of a batch that was not stored."""
        await self.wait()
        opened, self._open = self._open, None
        if opened:
            if not opened.records.done():
                opened.records.set_result(())
            await opened.task
            await self._publisher.abort(within=PUBLISH_SECONDS)

    async def commit(self, arrivals: Sequence[Arrival]) -> None:
        """Begin to make visible what was sent of a batch that is stored, once the one before it is published."""
        await self.wait()
        opened, self._open = self._open, None
        if opened:
            self._unpublished.set(len(opened.records.result()))
            self._committing = asyncio.create_task(self._commit(opened, arrivals))

    async def wait(self) -> None:
        """Wait until what is being committed is published; whatever prevents it is raised here."""
        committing, self._committing = self._committing, None
        if committing:
            await committing

    async def check(self) -> None:
        """Raise what prevented the last commit, if it is over."""
        if self._committing and self._committing.done():
            await self.wait()

    async def close(self) -> None:
        """Wait for the commit, and give up what is only sent."""
        if self._committing and is_ending():
            # This lane was cancelled and must not wait again. Its successor finds out what became of the commit.
            self._committing.cancel()
        if self._open:
            self._open.task.cancel()
            await asyncio.wait({self._open.task}, timeout=_CANCEL_SECONDS)
        await self.wait()

    async def _send(
        self, before: "asyncio.Task[None] | None", offset: int, records: "asyncio.Future[Sequence[Outgoing]]"
    ) -> None:
        if before:
            await asyncio.wait({before})
            if before.cancelled() or before.exception():
                # Raised to whoever waits for it, and that comes before anything else is asked of this batch.
                return
        await self._publisher.begin(self._sign(offset), within=PUBLISH_SECONDS)
        await self._publisher.send(await records, within=PUBLISH_SECONDS)

    async def _commit(self, opened: _Open, arrivals: Sequence[Arrival]) -> None:
        with measure("publish"):
            await opened.task
            await self._publisher.commit(within=PUBLISH_SECONDS)
        self._unpublished.set(0)
        self._record(opened.offset, opened.records.result(), opened.started_ns)
        measure_latency(arrivals)

    def _record(self, offset: int, records: Sequence[Outgoing], started_ns: int) -> None:
        if records:
            self._traces.record_sent(records, started_ns)
            self._log.info("outbox.published", messages=len(records), offset=offset)

    def _sign(self, offset: int, mark: str = "") -> GroupOffset:
        return GroupOffset(offset, sign_offset(self._deployment_id, mark))
