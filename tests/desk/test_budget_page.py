"""The page of one budget, on a real Postgres: what would be sent, whether somebody may accept it, and its history."""

import csv
import io

from outbox.recovery import open_recovery
from tests.desk.conftest import Desk
from tests.integration.records import TOPICS
from tests.unit.builders import (
    CONCRETE,
    KEY,
    STEEL,
    Scenario,
    accept,
    acknowledge,
    list_held,
    lock,
    reject,
    request_import,
    snapshot,
)
from tests.unit.import_builders import MAPS, list_job, read_job

PAGE = f"/budgets/{KEY}"
CHEAPER = STEEL | {"original_amount": "600000.00"}


async def read(desk: Desk, path: str = PAGE, user: str = "ann") -> str:
    answer = await desk.get(path, user)
    assert answer.status_code == 200, answer.text
    return answer.text


async def test_a_first_export_is_shown_as_it_would_be_sent(desk: Desk) -> None:
    await desk.receive(lock(1, STEEL, CONCRETE))
    page = await read(desk)
    for shown in (
        "Job 26-1001",
        "You may accept: approver of project 4211/90071, sent by sam and locked by lou, not by you.",
        "640,000.00",
        "312,500.50",
        "-500.25",
        "the version's own total, USD",
        "952,000.25",
    ):
        assert shown in page.replace("&#39;", "'"), shown


async def test_a_resync_opens_on_what_changes_and_says_what_is_hidden(desk: Desk) -> None:
    await desk.receive(lock(1, STEEL, CONCRETE), accept(), acknowledge("success"), lock(2, CHEAPER, CONCRETE))
    page = await read(desk)
    assert "1 line not shown." in page
    assert page.count(" hidden><th scope") == 1
    assert "-40,000.00" in page
    everything = await read(desk, f"{PAGE}?lines=all&sort=-original")
    assert " hidden><th scope" not in everything
    assert everything.index("Structural steel") < everything.index(">Concrete<")


async def test_a_line_that_goes_to_zero_stays_in_its_place(desk: Desk) -> None:
    await desk.receive(lock(1, STEEL, CONCRETE), accept(), acknowledge("success"), lock(2, CONCRETE))
    page = await read(desk)
    assert "<del>Structural steel</del>" in page
    assert "to zero" in page
    assert "-640,000.00" in page


async def test_who_may_not_accept_reads_the_sentence_of_the_bridge_and_who_may(desk: Desk) -> None:
    await desk.receive(lock(sent_by="ann"))
    page = await read(desk)
    assert "ann sent or locked version 1; somebody else must accept it." in page
    assert "Who may accept it: bob." in page
    assert "You may accept" not in page
    assert "You may accept: approver of company 4211" in await read(desk, user="bob")


async def test_what_cannot_be_seen_is_not_there(desk: Desk) -> None:
    await desk.receive(lock())
    for path, user in ((PAGE, "eve"), ("/budgets/4211/90071/1", "ann"), (f"/budgets/{KEY[0]}/{2**70}/1", "ann")):
        assert (await desk.get(path, user)).status_code == 404


async def test_the_history_says_who_did_what_and_what_became_of_it(desk: Desk) -> None:
    await desk.receive(lock(), reject(reason="<b>too high</b>"), lock(2), accept(2))
    page = await read(desk)
    assert "<q>&lt;b&gt;too high&lt;/b&gt;</q>" in page
    assert "export B0000001, attempt 1" in page
    assert "accepted by ann" in page
    assert "on its way to Spectrum" in page


async def test_an_invalid_version_says_what_is_wrong(desk: Desk) -> None:
    await desk.receive(lock(1, STEEL | {"cost_code": "<i>99"}))
    page = await read(desk)
    assert "unmapped_cost_code" in page
    assert "&lt;i&gt;99" in page
    assert "<i>99" not in page


async def test_a_failed_export_shows_what_spectrum_did_not_take(desk: Desk) -> None:
    failed = {"phase_code": "05120", "cost_type": "S", "status": "failed", "error_description": "period is closed"}
    await desk.receive(lock(), accept(), acknowledge("failed", lines=[failed]))
    page = await read(desk)
    assert "period is closed" in page
    assert 'href="#line-05120-S"' in page
    assert "You may accept" in page


async def test_an_older_version_is_shown_as_it_was(desk: Desk) -> None:
    await desk.receive(lock(1, STEEL), reject(), lock(2, CHEAPER))
    page = await read(desk, f"{PAGE}/versions/1")
    assert "640,000.00" in page
    assert "version 2" in page
    assert (await desk.get(f"{PAGE}/versions/3")).status_code == 404
    rows = list(csv.reader(io.StringIO((await read(desk, f"{PAGE}/versions/1/lines.csv")).removeprefix("\ufeff"))))
    assert rows[1][:7] == ["05120", "S", "Structural steel", "add", "640000.00", "0.00", "640000.00"]


async def test_no_cell_of_text_is_a_formula_and_amounts_stay(desk: Desk) -> None:
    await desk.receive(lock(1, STEEL | {"description": "=1+1", "revision_amount": "-5"}))
    answer = await desk.get(f"{PAGE}/lines.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="budget-4211-90071-55210-v1.csv"'
    [_, row] = csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")))
    assert row[2:7] == ["'=1+1", "add", "640000.00", "-5.00", "639995.00"]


async def test_what_differs_in_spectrum_is_shown_line_by_line(desk: Desk) -> None:
    sent = Scenario().send(lock(1, STEEL, CONCRETE), accept(), acknowledge("success")).budget.base
    assert sent
    await desk.receive(lock(1, STEEL, CONCRETE), accept(), acknowledge("success"))
    held = list_held(sent, S05120={"original_estimate_cost": "600000.00"})
    await desk.receive(snapshot(*held, begun=sent))
    page = await read(desk)
    assert "differs from what was exported" in page
    assert "1 line, 40,000.00 in all" in page
    assert "another original estimate" in page
    assert ">600,000.00<" in page
    await desk.receive(lock(2, CHEAPER, CONCRETE))
    page = await read(desk)
    assert "found differs: 1 line" in page
    assert 'href="#line-05120-S"' in page


async def test_an_import_is_shown_before_any_version_was_locked(desk: Desk) -> None:
    await desk.receive(request_import(by="ann"))
    page = await read(desk)
    assert "no version was locked yet" in page
    assert "import ASKED (take), asked for by ann" in page
    assert "Spectrum is being read, asked by ann" in page


async def test_a_budget_on_hold_to_come_says_why(desk: Desk, database_url: str) -> None:
    await desk.receive(lock())
    async with open_recovery(database_url) as recovery:
        await recovery.hold({KEY: "<odd>"}, {KEY: 0})
        await recovery.keep()
    page = await read(desk)
    assert "On hold from its next message on: &lt;odd&gt;" in page


async def test_a_state_that_cannot_be_read_is_said(desk: Desk) -> None:
    await desk.receive(lock())
    await desk.connection.execute("""update budgets set state = '{"format": 99}'""")
    assert "The state of this budget cannot be read" in await read(desk)
    assert (await desk.get("/")).status_code == 200


async def test_an_import_shows_what_it_offers(desk: Desk) -> None:
    await desk.apply_rules(MAPS)
    await desk.receive(request_import(by="ann"), read_job(*list_job()))
    page = await read(desk)
    assert "What the import offers the project side, as it was offered" in page
    assert "312,500.00" in page
    assert "05120 S" in page


async def test_the_history_says_where_it_came_in_and_where_to_it_sent(desk: Desk) -> None:
    await desk.receive(lock(), accept())
    page = await read(desk)
    assert f"{TOPICS.full('procore.approvals')}, partition 0, offset 1" in page
    assert f"to {TOPICS.full('spectrum.exports')}" in page
    assert "no signature" in page
    assert "cannot be found out now" in page
