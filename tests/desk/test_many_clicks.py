"""Fifty people who click at once, each twice, with a real worker behind the desk: every decision exactly once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx2
import pytest

from desk.app import make_app
from desk.forms import Forms
from desk.services import Services
from desk.settings import DeskSettings
from outbox.reader import Reader
from tests.desk.acting import find_token
from tests.desk.conftest import LOG, OPERATORS, SECRET, Visitor
from tests.end_to_end.harness import Bridge
from tests.unit.builders import lock
from tests.unit.desk_doors import SAME_ORIGIN
from worker.kafka.connection import KafkaConnection
from worker.settings import read_settings

PEOPLE: Final = {f"person{number}": number for number in range(1, 51)}
"""Each with the project whose budget they accept."""

_MOST_TRIES: Final = 20


@asynccontextmanager
async def open_desk(bridge: Bridge, database_url: str, folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Open a desk on a deployment, without a port of its own."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "KAFKA_BOOTSTRAP": bridge.kafka,
            "KAFKA_GROUP_ID": bridge.environment["KAFKA_GROUP_ID"],
            "TOPIC_PREFIX": bridge.prefix,
            "DESK_URL": "https://desk.example",
            "DESK_DATABASE_URL": database_url,
            "DESK_SECRET_FILE": str(secret),
        }.items():
            patch.setenv(name, value)
        settings = read_settings(DeskSettings)

    def now() -> datetime:
        return datetime.now(UTC)

    reader, forms = Reader(database_url), Forms([SECRET], now)
    kafka = KafkaConnection(bridge.kafka)
    services = Services(reader, kafka, bridge.appender, now, Visitor(), lambda: OPERATORS, forms, LOG)
    transport = httpx2.ASGITransport(make_app(settings, services), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="https://desk.example", timeout=60) as client:
        yield client
    await reader.close()


async def insist(client: httpx2.AsyncClient, method: str, path: str, user: str, **data: str) -> httpx2.Response:
    """Ask again while the desk says that it cannot answer now, as people do."""
    for _ in range(_MOST_TRIES):
        answer = await client.request(method, path, data=data or None, headers=SAME_ORIGIN | {"x-test-user": user})
        if answer.status_code != httpx2.codes.SERVICE_UNAVAILABLE:
            return answer
    pytest.fail(f"{path} was unavailable {_MOST_TRIES} times")


async def test_fifty_people_click_at_once(kafka: str, database_url: str, tmp_path: Path) -> None:
    bridge = Bridge(tmp_path, kafka, database_url)
    rows = "".join(f"4211,{project},{user}\n" for user, project in PEOPLE.items())
    bridge.write_rules(approvers_csv=f"company_id,project_id,user\n{rows}")
    await bridge.prepare()
    try:
        bridge.start()
        await bridge.send(*(lock().model_copy(update={"project_id": project}) for project in PEOPLE.values()))
        await bridge.wait_for("approval.requested.v1", len(PEOPLE))
        async with open_desk(bridge, database_url, tmp_path) as client:
            budget = lock().budget_id
            pages = {user: f"/budgets/4211/{project}/{budget}" for user, project in PEOPLE.items()}
            read = await asyncio.gather(*(insist(client, "GET", path, user) for user, path in pages.items()))
            tokens = dict(zip(pages, (find_token(page.text) for page in read), strict=True))
            answers = await asyncio.gather(
                *(
                    insist(client, "POST", f"{path}/acts/accept", user, token=tokens[user])
                    for user, path in pages.items()
                    for _ in range(2)
                )
            )
        assert {answer.status_code for answer in answers} == {httpx2.codes.SEE_OTHER}
        await bridge.wait_for("spectrum.export.v1", len(PEOPLE))
        assert (await bridge.wait_until_carried()).are_clean
        decided = await bridge.fetch(
            "select project_id, verdict, count(*) from history where type = 'approval.decision.v1' group by 1, 2"
        )
        assert sorted(tuple(row) for row in decided) == [(project, "applied", 1) for project in PEOPLE.values()]
        assert await bridge.count_records("procore.approvals") == len(PEOPLE)
        assert sorted(one["project_id"] for one in bridge.messages("spectrum.export.v1")) == list(PEOPLE.values())
    finally:
        await bridge.close()
