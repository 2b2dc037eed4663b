"""The whole path through the real process: what people do, and what the outside sees of it."""

import json
from typing import Any

from contracts.records import Headers
from tests.end_to_end.harness import Bridge
from tests.unit.builders import CONCRETE, STEEL, accept, acknowledge, lock, reject, retry

PAINTING = STEEL | {
    "budget_line_item_id": 3,
    "cost_code": "09-900",
    "description": "Painting",
    "original_amount": "7.5",
}
KEY = "4211/90071/55210"


def status(bridge: Bridge, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bridge.command("status", KEY, "--all", "--json", *arguments).stdout)
    return found


async def test_from_a_lock_to_spectrum_and_back(bridge: Bridge) -> None:
    bridge.start()
    # A decision before its lock is parked; then the first version goes all the way.
    await bridge.send(accept(), lock(1, STEEL, CONCRETE))
    export = await bridge.wait_for("spectrum.export.v1", budget_version=1)
    assert export["total_amount"] == "952000.25"
    await bridge.send(acknowledge("success"))
    await bridge.wait_for("budget.status.v1", status="SYNCED", budget_version=1)

    # The second: one line changed, one added, one gone; rejected, corrected, partly taken, retried.
    changed = CONCRETE | {"original_amount": "312500.75"}
    await bridge.send(lock(2, changed, PAINTING))
    await bridge.wait_for("approval.requested.v1", budget_version=2, kind="resync")
    await bridge.send(reject(2, reason="painting is too high"))
    returned = await bridge.wait_for("budget.returned.v1", cause="rejected")
    assert (returned["reason"], returned["notify"]) == ("painting is too high", ["carla", "sam"])
    await bridge.send(lock(3, changed, PAINTING | {"original_amount": "5.00"}))
    await bridge.wait_for("approval.requested.v1", budget_version=3)
    await bridge.send(accept(3))
    resync = await bridge.wait_for("spectrum.resync.v1", attempt=1)
    lines = {line["phase_code"]: (line["change"], line["original_change"]) for line in resync["lines"]}
    assert lines == {"03300": ("set", "0.25"), "05120": ("zero", "-640000.00"), "09900": ("add", "5.00")}
    refused = {"phase_code": "09900 ", "cost_type": "S", "status": "failed", "error_description": "closed"}
    await bridge.send(acknowledge("partial", 3, number=2, lines=[refused]))
    failed = await bridge.wait_for("budget.status.v1", status="EXPORT_FAILED")
    assert [line["error_description"] for line in failed["failed_lines"]] == ["closed"]
    await bridge.send(retry(3))
    again = await bridge.wait_for("spectrum.resync.v1", attempt=2)
    assert again == resync | {"attempt": 2}
    # In the next month it fails again, and the accountant, who opened a period for it, accepts it once more.
    await bridge.send(acknowledge("failed", 3, 2, number=2, erp_reference="CR-7"))
    await bridge.wait_for("budget.status.v1", status="EXPORT_FAILED", attempt=2, erp_reference="CR-7")
    await bridge.send(accept(3, decided_at="2026-12-02T09:00:00Z", effective_date="2026-12-01"))
    once_more = await bridge.wait_for("spectrum.resync.v1", attempt=3)
    assert once_more == resync | {"attempt": 3, "effective_date": "2026-12-01"}
    await bridge.send(acknowledge("success", 3, 3, number=2))
    synced = await bridge.wait_for("budget.status.v1", status="SYNCED", budget_version=3)
    assert (synced["synced_version"], synced["export_id"]) == (3, resync["export_id"])
    assert synced["erp_reference"] == "CR-7"

    # Everything came once, in order, under our key, as CloudEvents; and `status` prints the same.
    ids = [dict(record.headers)["ce_id"] for record in bridge.seen]
    assert len(ids) == len(set(ids))
    assert {record.key for record in bridge.seen} == {KEY.encode()}
    statuses = bridge.messages("budget.status.v1")
    assert [shown["sequence"] for shown in statuses] == list(range(1, len(statuses) + 1))
    printed = status(bridge)
    assert set(printed) >= {"budget", "status", "spectrum", "errors", "history", "sent"}
    assert printed["budget"] == {"company_id": 4211, "project_id": 90071, "budget_id": 55210}
    assert printed["status"] == statuses[-1]
    assert set(printed["history"][0]) >= {"at", "source", "id", "type", "budget_version", "verdict", "detail"}
    assert {entry["verdict"] for entry in printed["history"]} == {"applied"}
    assert [(entry["id"].encode(), entry["topic"]) for entry in printed["sent"]] == sorted(
        ((dict(record.headers)["ce_id"], record.place.topic) for record in bridge.seen),
        key=lambda sent: [entry["id"].encode() for entry in printed["sent"]].index(sent[0]),
    )
    unknown = bridge.command("status", "1/2/3")
    assert (unknown.returncode, "nothing is known" in unknown.stderr) == (1, True)
    assert "SYNCED" in bridge.command("status", KEY).stdout


async def test_bad_input_is_set_aside_and_the_partition_goes_on(bridge: Bridge) -> None:
    bridge.start()
    body = lock()
    head = bridge.head(body)
    good = body.model_dump(mode="json")
    bad: list[tuple[bytes | None, Headers]] = [
        (b"\x00\xff not json", head),
        (None, head),
        (b"[" * 50_000, head),
        (json.dumps(good | {"total_amount": float("nan")}).encode(), head),
        (json.dumps(good | {"created_by": "\ud800"}).encode(), head),
        (json.dumps(good | {"lines": "none"}).encode(), head),
        (json.dumps(good).encode(), (*head[:3], ("ce_type", b"budget.locked.v9"), head[4])),
        (b"x" * (16 * 1024 * 1024 - 1000), (*head, ("binary", b"\xff\x00"), ("empty", None))),
    ]
    for value, headers in bad:
        await bridge.send_raw("procore.budgets", value, headers, b"4211/90071")
    await bridge.send_raw("procore.approvals", None, (), None)
    await bridge.send_raw("procore.budgets", json.dumps(good).encode(), head, b"4211/90071")
    await bridge.wait_for("approval.requested.v1")
    await bridge.wait_until(lambda: len(bridge.dead_letters()) == len(bad) + 1, "the dead letters")
    [nothing] = [letter for letter in bridge.dead_letters() if letter.key is None]
    assert (nothing.value, dict(nothing.headers)["dead_letter_detail"]) == (
        None,
        b"the value is null; a message was expected",
    )
    letters = {dict(letter.headers)["dead_letter_offset"]: letter for letter in bridge.dead_letters() if letter.key}
    for number, (value, headers) in enumerate(bad):
        letter = letters[str(number).encode()]
        assert (letter.key, letter.value) == (b"4211/90071", value)
        assert letter.headers[: len(headers)] == headers
        extra = dict(letter.headers[len(headers) :])
        assert extra["dead_letter_reason"] == (b"unknown_type" if number == 6 else b"unreadable")
        assert extra["dead_letter_topic"] == f"{bridge.prefix}procore.budgets".encode()
        assert extra["dead_letter_detail"]


async def test_duplicates_change_nothing(bridge: Bridge) -> None:
    bridge.start()
    await bridge.send(lock(), message_id="one")
    await bridge.wait_for("approval.requested.v1")
    await bridge.send(accept(), message_id="two")
    await bridge.wait_for("spectrum.export.v1")
    before = len(bridge.seen)
    value = json.dumps(lock().model_dump(mode="json")).encode()
    for key in (b"a", b"b", b"c"):  # the same id on whatever partition
        await bridge.send_raw("procore.budgets", value, bridge.head(lock(), "one"), key)
    await bridge.send(lock(), accept(), accept(1, "ann", reason="sent again"))
    await bridge.send(lock(1, STEEL | {"original_amount": "1.00"}))
    await bridge.send(acknowledge("success"), acknowledge("success"))
    await bridge.wait_for("budget.status.v1", status="SYNCED")
    await bridge.wait_until(lambda: bool(bridge.dead_letters()), "the conflicting lock")
    await bridge.wait_until(
        lambda: sum(entry["verdict"] == "duplicate" for entry in status(bridge)["history"]) == 4, "four duplicates"
    )
    assert len(bridge.seen) == before + 2 or len(bridge.messages("budget.status.v1")) == 3
    assert len(bridge.messages("spectrum.export.v1")) == 1


async def test_structured_mode_and_trace(bridge: Bridge) -> None:
    bridge.start()
    event = {
        "specversion": "1.0",
        "id": "s1",
        "source": "test",
        "type": "budget.locked.v1",
        "data": lock().model_dump(mode="json") | {"company_id": "4211"},
    }
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = (("content-type", b"application/cloudevents+json"), ("traceparent", trace), ("TraceParent", trace))
    await bridge.send_raw("procore.budgets", json.dumps(event).encode(), headers)
    await bridge.wait_for("approval.requested.v1")
    [request] = [record for record in bridge.seen if record.place.topic.endswith("approval-requests")]
    assert [value for name, value in request.headers if name == "traceparent"] == [trace]
    given = dict(request.headers)
    assert (given["ce_specversion"], given["ce_source"], given["content-type"]) == (
        b"1.0",
        b"budget-bridge",
        b"application/json",
    )
    assert (given["ce_time"] or b"").endswith(b"Z")


async def test_the_largest_budget_and_an_invalid_one(bridge: Bridge) -> None:
    bridge.start()
    lines = [
        STEEL | {"budget_line_item_id": number, "cost_code": f"c{number}", "original_amount": "1.01"}
        for number in range(2001)
    ]
    await bridge.send(lock(1, *lines))
    returned = await bridge.wait_for("budget.returned.v1", cause="invalid")
    assert {error["code"] for error in returned["errors"]} == {"too_many_lines"}
    await bridge.send(lock(2, *lines[:2000]))
    await bridge.wait_for("approval.requested.v1", budget_version=2)
    await bridge.send(accept(2))
    export = await bridge.wait_for("spectrum.export.v1", budget_version=2)
    assert (export["line_count"], export["total_amount"]) == (2000, "2020.00")


async def test_deadlines_become_messages(bridge: Bridge) -> None:
    bridge.write_rules(rules_toml='[export]\nacknowledgement_deadline = "2s"\n[waiting]\nparked_expiry = "1s"\n')
    bridge.start()
    await bridge.send(reject(5))
    refused = await bridge.wait_for("request.refused.v1", code="expired")
    assert refused["budget_version"] == 5
    await bridge.send(lock())
    await bridge.wait_for("approval.requested.v1")
    await bridge.send(accept())
    await bridge.wait_for("budget.status.v1", overdue=True)
    await bridge.send(acknowledge("in_progress"))
    await bridge.wait_for("budget.status.v1", overdue=False, sequence=4)
    await bridge.wait_for("budget.status.v1", 2, overdue=True)
