"""What pages are told of changes: names that their reader may see, and whether anything is told at all."""

import asyncio
import json
from typing import Any

from contracts.budget_key import BudgetKey
from contracts.records import Place, Record
from desk.live import Live
from desk.pages_live import _list_changes
from desk.rights import Rights
from desk.settings import DeskSettings
from tests.desk.acting import BUDGET, open_people
from tests.desk.conftest import Desk
from tests.integration.records import TOPICS
from tests.unit.builders import KEY, RULES, lock, reject
from tests.unit.desk_doors import Log
from worker.kafka.connection import KafkaConnection


def make_live(log: Log) -> Live:
    logger: Any = log
    return Live(KafkaConnection("127.0.0.1:9"), TOPICS, logger)


def write_status(key: str, sequence: object = 1) -> Record:
    return Record(Place("x.bridge.status", 0, 0), 0, key.encode(), json.dumps({"sequence": sequence}).encode(), ())


async def test_only_what_the_reader_may_see_is_told() -> None:
    live = make_live(Log())
    changes = _list_changes(live, Rights("ann", RULES))
    assert (await anext(changes)).event == "kafka"
    told = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    for key in ("9/9/9", "no key", str(KEY), str(KEY)):
        live._take(write_status(key))
    live._take(write_status(str(KEY), "no number"))
    assert (await told).data == str(KEY)
    assert live.has_seen(KEY, 1)
    assert not live.has_seen(KEY, 2)


async def test_a_page_that_reads_too_slowly_is_told_to_ask_for_everything() -> None:
    live = make_live(Log())
    with live.listen() as queue:
        for number in range(1, 1002):
            live._take(write_status(str(BudgetKey(1, 1, number))))
        assert queue.qsize() == 1
        assert queue.get_nowait() is None


async def test_a_page_that_lost_changes_is_told_that_everything_may_have_changed() -> None:
    live = make_live(Log())
    changes = _list_changes(live, Rights("ann", RULES))
    await anext(changes)
    told = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    for number in range(1, 1010):
        live._take(write_status(str(BudgetKey(1, 1, number))))
    assert (await told).event == "kafka"
    assert (await asyncio.wait_for(anext(changes), 5)).data == "all"


async def test_kafka_away_is_logged_once_and_said_on_pages(desk: Desk, desk_settings: DeskSettings) -> None:
    log, stopping = Log(), asyncio.Event()
    async with open_people(desk, desk_settings, log=log) as people:
        await desk.receive(lock())
        live = people.app.state.live
        assert "Kafka does not answer" not in (await people.get(BUDGET)).text
        with live.listen() as queue:
            running = asyncio.create_task(live.run(stopping))
            assert await asyncio.wait_for(queue.get(), 30) is None
        assert "Kafka does not answer the desk at present." in (await people.get(BUDGET)).text
        stopping.set()
        await running
    assert [event for event, _ in log.lines] == ["live.lost"]


async def test_a_page_that_asks_again_gets_nothing_where_nothing_has_changed(
    desk: Desk, desk_settings: DeskSettings
) -> None:
    async with open_people(desk, desk_settings) as people:
        await desk.receive(lock())
        for path, user in ((BUDGET, "ann"), ("/", "ann"), (BUDGET, "olga")):
            etag = (await people.get(path, user)).headers["etag"]
            again = await people.get(path, user, **{"If-None-Match": etag})
            assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-store")
            assert (await people.get(path, "bob", **{"If-None-Match": etag})).status_code == 200
        etags = [(await people.get(path)).headers["etag"] for path in (BUDGET, "/")]
        await desk.receive(reject(), lock(2))
        for path, etag in zip((BUDGET, "/"), etags, strict=True):
            assert (await people.get(path, **{"If-None-Match": etag})).status_code == 200
