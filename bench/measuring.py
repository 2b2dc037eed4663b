"""Measures one program on one load: what becomes visible, when, and what CPU and memory it took.

Ten times a second the number of visible records is read together with the CPU of all processes. The first
fifth is warm-up and does not count. At the end everything is read and checked: nothing missing, nothing twice.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.cpu import Processes
from bench.results import Run

SAMPLE_SECONDS: Final = 0.1
QUIET_SECONDS: Final = 1.0
"""After so long without a new record everything is read to see whether it is complete."""

STUCK_SECONDS: Final = 60.0
WARM_UP: Final = 0.2

Progress = Callable[[str, float], None]
"""What is being done, and how much of it, from 0 to 1."""


class ProgramStuckError(Exception):
    """A program sends nothing more, and not everything has been sent."""


@dataclass(frozen=True)
class Sample:
    """What was read at one moment."""

    moment: float
    visible: int
    cpu: dict[str, float]
    megabytes: float


class Outputs:
    """The output topics as a reader with ``isolation_level=read_committed`` sees them.

    Args:
        consumer: started, and assigned to all partitions.
        places: those partitions.
    """

    def __init__(self, consumer: AIOKafkaConsumer, places: list[TopicPartition]) -> None:
        self.consumer = consumer
        self._places = places
        self._before: dict[TopicPartition, int] = {}

    async def mark(self) -> None:
        """Count and read from here on."""
        self._before = await self.consumer.end_offsets(self._places)
        for place, offset in self._before.items():
            self.consumer.seek(place, offset)

    async def count(self) -> int:
        """Count what is visible, with the markers of transactions."""
        ends = await self.consumer.end_offsets(self._places)
        visible: int = sum(ends.values()) - sum(self._before.values())
        return visible

    async def read_ids(self) -> Counter[bytes]:
        """Read everything since the mark: how often each message id is there, in each topic."""
        ends = await self.consumer.end_offsets(self._places)
        for place, offset in self._before.items():
            self.consumer.seek(place, offset)
        found: Counter[bytes] = Counter()
        self.consumer.resume(*self._places)
        while any([await self.consumer.position(place) < ends[place] for place in self._places]):
            for raw in await read_some(self.consumer, 0.2):
                found[raw.topic.encode() + find_id(raw)] += 1
        self.pause()
        return found

    def pause(self) -> None:
        """Fetch nothing, while others are measured."""
        self.consumer.pause(*self._places)


def find_id(raw: Any) -> bytes:
    """Find the id of a message that was sent; Debezium writes headers as JSON."""
    return next((value.strip(b'"') for name, value in raw.headers if name in {"ce_id", "id"}), b"")


async def read_some(consumer: AIOKafkaConsumer, within: float) -> list[Any]:
    """Read what there is."""
    found = await consumer.getmany(timeout_ms=int(within * 1000), max_records=5000)
    return [raw for some in found.values() for raw in some]


@asynccontextmanager
async def open_outputs(kafka: str, topics: Sequence[str]) -> AsyncIterator[Outputs]:
    """Open topics, from their present end on; without a group, so that all partitions are assigned at once."""
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=kafka,
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    async with consumer:
        outputs = Outputs(consumer, sorted(consumer.assignment()))
        await outputs.mark()
        yield outputs


async def follow(
    outputs: Outputs,
    processes: Processes,
    expected: int,
    progress: Callable[[float], None],
    *,
    stop_early: bool = False,
) -> tuple[list[Sample], Counter[bytes]]:
    """Take samples until everything is visible.

    Args:
        outputs: marked before the program started.
        processes: ``program`` and the servers.
        expected: how many records.
        progress: is called with the share that is visible.
        stop_early: end at so many records, whatever follows, and read none.

    Returns:
        The samples, and how often each message id is there.

    Raises:
        ProgramStuckError: nothing new for ``STUCK_SECONDS``.
    """
    samples: list[Sample] = []
    outputs.pause()
    changed = checked = time.monotonic()
    while True:
        visible = await outputs.count()
        now = time.monotonic()
        sample = Sample(now, visible, processes.read_cpu(), processes.read_megabytes("program"))
        if not samples or samples[-1].visible != visible:
            changed = now
        samples.append(sample)
        progress(min(visible / expected, 1.0))
        if stop_early and visible >= expected:
            return samples, Counter()
        if visible >= expected and now - max(changed, checked) > QUIET_SECONDS:
            ids = await outputs.read_ids()
            if ids.total() >= expected:
                return samples, ids
            checked = time.monotonic()
        if now - changed > STUCK_SECONDS:
            raise ProgramStuckError(f"{visible:,} of {expected:,} records, and nothing new in {STUCK_SECONDS:.0f} s")
        await asyncio.sleep(SAMPLE_SECONDS)


def evaluate(name: str, samples: Sequence[Sample], ids: Counter[bytes], expected: int, each: int) -> Run:
    """Evaluate the samples of one run.

    Args:
        name: what the run is called.
        samples: of the whole run.
        ids: how often each message id was read; empty if nothing was.
        expected: how many records there should be.
        each: how many of them a message causes.
    """
    last = samples[-1].visible
    # Without ids it was ended early, and by then more may have been visible.
    carried = (expected if ids else last) / each
    ends = next(number for number, sample in enumerate(samples) if sample.visible == last)
    starts = next(number for number, sample in enumerate(samples) if sample.visible >= last * WARM_UP)
    if ends == 0:
        raise ProgramStuckError("everything was visible at the first look")
    # A load that is visible within one sample is measured from the one before: coarsely, but measured.
    start, end = samples[min(starts, ends - 1)], samples[ends]
    return Run(
        name,
        messages=round(carried * (end.visible - start.visible) / last),
        seconds=end.moment - start.moment,
        cpu_seconds={process: end.cpu[process] - used for process, used in start.cpu.items()},
        peak_megabytes=max(sample.megabytes for sample in samples),
        missing=max(expected - len(ids), 0) if ids else 0,
        repeated=ids.total() - len(ids),
    )
