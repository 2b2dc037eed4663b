"""The lanes of one worker: one for each inbox partition that the consumer group has assigned to it."""

import asyncio
from typing import Final

from worker.kafka.consumer import Consumer
from worker.kafka.group_offsets import Partition
from worker.pipeline.lane import Lane, LaneContext
from worker.supervise import Supervisor
from worker.telemetry.logs import Logger
from worker.telemetry.metrics import REBALANCES, forget_lane

BATCH_BYTES: Final = 768 * 1024
"""What a lane takes at once, unless a single record is larger."""

STOP_SECONDS: Final = 8.0
"""Longest that lanes may take to finish and publish; with the rest the worker is gone within 10 s."""


class Lanes:
    """The lanes of this worker: one for each inbox partition that the group has given it."""

    def __init__(self, context: LaneContext, supervisor: Supervisor, log: Logger) -> None:
        self._context = context
        self._supervisor = supervisor
        self._log = log
        self._running: dict[int, tuple[asyncio.Event, asyncio.Task[None]]] = {}
        self.reader = Consumer(
            context.kafka,
            context.group_id,
            [context.inbox_topic],
            start="none",
            fetch_bytes=BATCH_BYTES,
            on_assigned=self._start,
            on_revoked=self._stop,
        )

    def list_partitions(self) -> list[int]:
        """List the inbox partitions that are carried here."""
        return list(self._running)

    async def close(self) -> None:
        """Stop every lane, then leave the group."""
        await self._stop([(self._context.inbox_topic, number) for number in self._running])
        await self.reader.close(1.0)

    async def _start(self, partitions: list[Partition]) -> None:
        REBALANCES.inc()
        for _, number in partitions:
            lane = Lane(number, self.reader, self._context, self._log)
            stopping = asyncio.Event()
            self._running[number] = stopping, self._supervisor.start("lane", lane.run, stopping)

    async def _stop(self, partitions: list[Partition]) -> None:
        leaving = [self._running.pop(number) for _, number in partitions if number in self._running]
        for stopping, _ in leaving:
            stopping.set()
        tasks = [task for _, task in leaving]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for task in late:
            # Whatever it was doing, its successor finds out on the restart path.
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, number in partitions:
            forget_lane(number)
        self._log.info("lanes.stopped", lanes=[number for _, number in partitions])
