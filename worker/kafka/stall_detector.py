"""Finds the partitions of a consumer that return nothing although there is more to read.

It judges from outside: the partition is fetched from, its position stays below its end, and nothing is returned.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from aiokafka import TopicPartition

from contracts.records import Record


class StallDetector:
    """Remembers since when each partition of a consumer has returned nothing, and been behind at the same position."""

    def __init__(self) -> None:
        self._nothing_since: dict[TopicPartition, float] = {}
        self._behind: dict[TopicPartition, tuple[int, float]] = {}

    def note(self, asked: Iterable[TopicPartition], found: Sequence[Record], *, full: bool) -> None:
        """Note the result of one fetch.

        Args:
            asked: the partitions that were fetched from.
            found: the records that were returned.
            full: whether as many records were returned as were asked for. Then partitions without a record in it may
                only not have had their turn.
        """
        if not full:
            now = asyncio.get_running_loop().time()
            for place in asked:
                self._nothing_since.setdefault(place, now)
        for record in found:
            self._nothing_since.pop(TopicPartition(record.place.topic, record.place.partition), None)

    def forget(self, place: TopicPartition | None = None) -> None:
        """Forget what was noted of a partition, or of all."""
        if place is None:
            self._nothing_since.clear()
            self._behind.clear()
        else:
            self._nothing_since.pop(place, None)

    def list_quiet(self) -> list[TopicPartition]:
        """List the partitions that have returned nothing since they were asked."""
        return list(self._nothing_since)

    def find(self, positions: Mapping[TopicPartition, int], seconds: float) -> list[TopicPartition]:
        """Find the partitions that have stalled.

        Args:
            positions: those that are behind, each with its position.
            seconds: for how long they must have returned nothing and not moved, counted from the first call that
                found the partition behind, since a record may have arrived only now.

        Returns:
            Those partitions, in order.
        """
        now = asyncio.get_running_loop().time()
        before, self._behind = self._behind, {}
        for place, position in positions.items():
            earlier, since = before.get(place, (position, now))
            self._behind[place] = (position, since if earlier == position else now)
        return sorted(
            place
            for place, (_, since) in self._behind.items()
            if place in self._nothing_since and now - max(since, self._nothing_since[place]) >= seconds
        )
