"""Starts and stops the lanes of one worker: one for each inbox partition that the group has assigned to it."""

import asyncio
import sys
from typing import Final, NamedTuple

from worker.kafka.consumer import Consumer
from worker.kafka.group_offsets import Partition
from worker.pipeline.lane import Lane, LaneContext
from worker.supervise import Supervisor
from worker.telemetry.logs import Logger
from worker.telemetry.metrics import REBALANCES, forget_lane

BATCH_BYTES: Final = 768 * 1024
"""How much a lane fetches at once, unless a single record is larger."""

STOP_SECONDS: Final = 4.0
"""Longest that a lane may take to finish its batch and publish it before it is cancelled.

The worker must end within 10 s of SIGTERM, and leaving the groups and closing connections takes the rest."""

CANCEL_SECONDS: Final = 6.5
"""Longest that a cancelled lane may take to close its producer and its session; after that it is left behind."""


class _Running(NamedTuple):
    lane: Lane
    stopping: asyncio.Event
    task: asyncio.Task[None]


class Lanes:
    """The lanes of this worker, started and stopped as the group assigns their partitions.

    Args:
        context: what all lanes share.
        supervisor: runs them.
        log: the worker's.
    """

    def __init__(self, context: LaneContext, supervisor: Supervisor, log: Logger) -> None:
        self._context = context
        self._supervisor = supervisor
        self._log = log
        self._running: dict[int, _Running] = {}
        self._is_closing = False
        self.reader = Consumer(
            context.kafka,
            context.group_id,
            [context.topics.inbox],
            start="none",
            fetch_bytes=BATCH_BYTES,
            on_assigned=self._start,
            on_revoked=self._stop,
        )

    def list_partitions(self) -> list[int]:
        """List the inbox partitions that are processed here."""
        return [number for number, one in self._running.items() if not one.stopping.is_set()]

    def list_refusals(self) -> list[str]:
        """List the lanes that refuse to publish, each with the reason."""
        running = sorted(self._running.items())
        return [f"lane {number}: {one.lane.refusal}" for number, one in running if one.lane.refusal]

    async def close(self) -> None:
        """Stop every lane, then leave the group."""
        # A rebalance in the meantime would start other lanes, which nobody would stop.
        self._is_closing = True
        sys.audit("budget-bridge.lanes.about-to-stop")
        await self._stop([(self._context.topics.inbox, number) for number in self._running])
        await self.reader.close(1.0)
        sys.audit("budget-bridge.lanes.group-left")

    async def _start(self, partitions: list[Partition]) -> None:
        REBALANCES.inc()
        if self._is_closing:
            return
        for _, number in partitions:
            lane, stopping = Lane(number, self.reader, self._context, self._log), asyncio.Event()
            task = self._supervisor.start("lane", lane.run, stopping)
            self._running[number] = _Running(lane, stopping, task)

    async def _stop(self, partitions: list[Partition]) -> None:
        """Stop lanes and wait until they have ended; harmless while another call is stopping the same ones."""
        if not partitions:
            return
        sys.audit("budget-bridge.lanes.about-to-revoke")
        leaving = {number: self._running[number] for _, number in partitions if number in self._running}
        for one in leaving.values():
            one.stopping.set()
        if not leaving:
            return
        await self._end([one.task for one in leaving.values()])
        ended = [number for number, one in leaving.items() if self._running.get(number) is one]
        for number in ended:
            del self._running[number]
            forget_lane(number)
        if ended:
            self._log.info("lanes.stopped", lanes=ended)
        sys.audit("budget-bridge.lanes.stopped")

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for task in late:
            # Whatever it was doing, the successor finds out on the restart path.
            self._log.warning("task.cancelled", task=task.get_name(), waited_seconds=STOP_SECONDS)
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=CANCEL_SECONDS)
