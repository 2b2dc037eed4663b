"""Whether Kafka has what was sent: history has it before it is published, and only Kafka knows when it is."""

from collections.abc import Collection

from contracts.budget_key import BudgetKey
from desk.live import Live
from desk.page import Page
from handlers.budget import Budget
from worker.kafka.errors import KafkaDown
from worker.kafka.group_offsets import read_group_offsets

_OFFSET_SECONDS = 2.0

InboxPlace = tuple[int, int]
"""Partition and offset in the inbox."""


async def find_unpublished(
    page: Page, key: BudgetKey, budget: Budget | None, places: Collection[InboxPlace]
) -> frozenset[InboxPlace] | None:
    """Find out because of which messages something was sent that Kafka does not have yet.

    Args:
        page: in whose transaction the messages were read.
        key: of the budget that they are about.
        budget: its state.
        places: of the messages.

    Returns:
        The places; ``None`` where that cannot be found out now.
    """
    live: Live = page.request.app.state.live
    if live.problem is not None:
        return None
    if not places or (budget and live.has_seen(key, budget.sequence)):
        return frozenset()
    settings = page.settings
    lanes = sorted({(settings.topics.inbox, partition) for partition, _ in places})
    try:
        offsets = await read_group_offsets(page.services.kafka, settings.kafka_group_id, lanes, _OFFSET_SECONDS)
    except KafkaDown:
        return None
    published = {partition: found.offset for (_, partition), found in offsets.items()}
    return frozenset(place for place in places if published.get(place[0], 0) <= place[1])
