"""The audit trail: what an honest one says, and each thing that can be changed in one is found, with a sentence."""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.unit.builders import KEY, NOON, accept, acknowledge, decide_drift, hash_of
from tests.unit.trail_builders import (
    ACCEPTED,
    ANN,
    LINE,
    MALLORY,
    RULES_LINE,
    change,
    check,
    make_honest,
    receive,
    send_export,
    trust,
    write,
    write_event,
)
from worker.trail.chain import MAX_LINE_BYTES, read_lines
from worker.trail.verifying import MAX_PROBLEMS, verify_trail

RESTATE = decide_drift("restate", "d")
KEEP = receive(3, decide_drift("keep", "d"), ANN)
ZERO = LINE | {"phase_code": "09900", "original_estimate_cost": "0.00", "change": "zero"}
HEAD, RULES, LOCK, ACCEPT, EXPORT, END = range(6)


def read(lines: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def test_a_trail_says_who_did_what_when_by_which_key_and_rules() -> None:
    lines, _ = write(make_honest())
    head, rules, locked, accepted, export, end = read(lines)
    assert [one["kind"] for one in read(lines)] == ["head", "rules", "received", "received", "sent", "end"]
    assert (head["budget"], head["read_at"], head["pruned_before"]) == (str(KEY), "2026-11-24T12:00:00Z", None)
    assert rules["applied"] == [{"by": "olga", "why": "signatures", "at": "2026-11-24T12:00:00Z"}]
    assert (locked["who"], locked["signed"], locked["record"]) == ("sam", None, None)
    assert (locked["says"]["total_amount"], locked["says"]["lines"]) == ("640000.00", 1)
    assert (accepted["who"], accepted["says"]["decision"], accepted["rules_id"]) == ("ann", "accept", 3)
    assert accepted["signed"] == {"kid": "ann-2026", "at": "2026-11-24T09:00:00Z"}
    assert accepted["inbox"] == {"topic": "x.bridge.inbox", "partition": 0, "offset": 2}
    assert accepted["origin"] == {"topic": "x.procore.approvals", "partition": 0, "offset": 2}
    assert accepted["value_sha256"] == sha256(ACCEPTED.original.value or b"").hexdigest()
    assert (export["topic"], export["cause"]["offset"], export["says"]["job_number"]) == (
        "x.spectrum.exports",
        2,
        "26-1001",
    )
    assert end["lines"] == 5


def test_an_honest_trail_is_proved() -> None:
    lines, _ = write(make_honest())
    found = check(lines)
    assert found.problems == []
    assert found.proven == {"ann-2026": 2}
    assert (found.lines, found.unproven, found.unapproved) == (6, {}, 0)
    assert found.digest == sha256(lines[-1].removesuffix(b"\n")).hexdigest()


def test_without_signers_everything_but_signatures_is_checked() -> None:
    lines, _ = write([receive(2, accept(content_hash=hash_of()), MALLORY)])
    found = verify_trail(lines, None)
    assert (found.problems, found.proven) == ([], {})


@pytest.mark.parametrize("number", range(6))
def test_a_line_that_was_removed_is_seen(number: int) -> None:
    lines, _ = write(make_honest())
    assert check(lines[:number] + lines[number + 1 :]).problems


@pytest.mark.parametrize("number", range(5))
def test_lines_that_were_swapped_are_seen(number: int) -> None:
    lines, _ = write(make_honest())
    lines[number], lines[number + 1] = lines[number + 1], lines[number]
    assert check(lines).problems


@pytest.mark.parametrize("number", range(6))
def test_a_line_that_is_there_twice_is_seen(number: int) -> None:
    lines, _ = write(make_honest())
    assert check(lines[: number + 1] + lines[number:]).problems


@pytest.mark.parametrize("number", range(5))
def test_a_line_that_was_changed_is_seen_where_the_chain_breaks(number: int) -> None:
    lines, _ = write(make_honest())
    lines[number] = lines[number].replace(b"2026-11-24T12:00:00Z", b"2026-11-25T12:00:00Z")
    problems = check(lines).problems
    assert (
        f"line {number + 2}: it does not follow line {number + 1} as that is here: line {number + 1} was changed"
        in (problems[-1])
    )


def test_a_file_that_was_cut_off_is_seen() -> None:
    lines, _ = write(make_honest())
    (problem,) = check(lines[:-1]).problems
    assert problem.startswith("the file does not end with its last line")
    assert check([]).problems == [problem]


def test_removing_lines_and_writing_the_rest_anew_changes_the_digest_and_the_count() -> None:
    lines, _ = write(make_honest())
    shorter = change(lines[:LOCK] + lines[ACCEPT:], 0, lambda _: None)
    (problem,) = check(shorter).problems
    assert problem == "the last line counts 5 lines before it, and there are 4: lines were removed or added"
    repaired = change(shorter, len(shorter) - 1, lambda end: end.update(lines=4))
    assert check(repaired).problems == []
    assert check(repaired).digest != check(lines).digest


def put_value(line: dict[str, Any], value: bytes, *, digest: bool) -> None:
    line["record"]["value"] = b64encode(value).decode()
    if digest:
        line["value_sha256"] = sha256(value).hexdigest()


OTHER = json.dumps(accept(by="bob", content_hash=hash_of()).model_dump(mode="json")).encode()
CHANGES: dict[str, tuple[int, Callable[[dict[str, Any]], object], str]] = {
    "body": (ACCEPT, lambda line: put_value(line, OTHER, digest=False), "not the one whose digest is beside it"),
    "body and digest": (ACCEPT, lambda line: put_value(line, OTHER, digest=True), "its who is not the one of its rec"),
    "who": (ACCEPT, lambda line: line.update(who="bob"), "its who is not the one of its record"),
    "what": (ACCEPT, lambda line: line["says"].update(decision="reject"), "its says is not the one of its record"),
    "kid": (ACCEPT, lambda line: line["signed"].update(kid="bob-1"), "its signed is not the one of its record"),
    "proof": (ACCEPT, lambda line: line.update(proven_by="bob-1"), "is proven by key ann-2026, and not by bob-1"),
    "id": (ACCEPT, lambda line: line.update(id="m9"), "its id is not the one of its record"),
    "budget": (ACCEPT, lambda line: line.update(budget="4211/1/1"), "its budget is not the one of its record"),
    "version": (ACCEPT, lambda line: line.update(version=2), "its version is not the one of its record"),
    "type": (ACCEPT, lambda line: line.update(type="export.retry.v1"), "its record is no export.retry.v1"),
    "bytes": (ACCEPT, lambda line: line.update(record=None), "its bytes are not there"),
    "pruned": (ACCEPT, lambda line: line.update(record=None, pruned=True), "its bytes are not there"),
    "base64": (ACCEPT, lambda line: line["record"].update(value="!"), "its bytes cannot be read"),
    "rules": (ACCEPT, lambda line: line.update(rules_id=4), "version 4 of the rules is not described before it"),
    "export": (EXPORT, lambda line: put_value(line, b"{}", digest=False), "not the one whose digest is beside it"),
    "export with digest": (EXPORT, lambda line: put_value(line, b"{}", digest=True), "does not say what its value"),
    "export id": (EXPORT, lambda line: line.update(id="0"), "its id is not the one of its record"),
    "export bytes": (EXPORT, lambda line: line.update(record=None), "its bytes are not there"),
    "export budget": (EXPORT, lambda line: line.update(budget="4211/1/1"), "its budget is not the one of its record"),
    "export type": (EXPORT, lambda line: line.update(type="spectrum.resync.v1"), "its type is not the one of its rec"),
    "no export": (
        EXPORT,
        lambda line: line.update(type="x", record=None),
        "was sent to Spectrum, and is said to be no",
    ),
    "other budget": (LOCK, lambda line: line.update(budget="1/1/1", record=None), "and the trail of 4211/90071/55210"),
    "field": (LOCK, lambda line: line.update(more=1), "it is no line of a trail: received.more"),
    "format": (HEAD, lambda line: line.update(format=2), "has format 2, this program knows 1"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen_although_the_chain_was_written_anew(name: str) -> None:
    number, how, sentence = CHANGES[name]
    lines, _ = write(make_honest())
    problems = check(change(lines, number, how)).problems
    assert any(problem.startswith(f"line {number + 1}: ") and sentence in problem for problem in problems), problems


def test_a_forged_signature_is_seen() -> None:
    forged = receive(2, accept(content_hash=hash_of()), MALLORY)
    (problem,) = check(write([forged])[0]).problems
    assert problem.startswith("line 3: approval.decision.v1 m2 of 4211/90071/55210 is applied and not proven: ")
    assert "The signature is not one of key ann-2026" in problem


def test_an_acceptance_without_a_signature_is_seen_where_the_rules_ask_for_one() -> None:
    unsigned = receive(2, accept(content_hash=hash_of()))
    (problem,) = check(write([unsigned])[0]).problems
    assert "is applied and not proven: This must be signed" in problem
    found = check(write([unsigned], RULES_LINE._replace(required=()))[0])
    assert (found.problems, found.unproven) == ([], {("approval.decision.v1", 3): 1})


def test_what_the_bridge_says_it_has_proven_is_proven_whatever_the_rules_are_said_to_be() -> None:
    forged = receive(2, accept(content_hash=hash_of()), MALLORY)
    (problem,) = check(write([forged], RULES_LINE._replace(required=()))[0]).problems
    assert "is applied and not proven: The signature is not one of key ann-2026" in problem


def test_what_was_refused_needs_no_proof() -> None:
    forged = receive(2, accept(content_hash=hash_of()), MALLORY)._replace(
        verdict="refused", source="x.procore.approvals/0", id="2@0"
    )
    found = check(write([forged])[0])
    assert (found.problems, found.proven) == ([], {})


@pytest.mark.parametrize(
    ("signers", "sentence"),
    [
        (trust(), "Signed with key ann-2026, which is not listed"),
        (trust(MALLORY), "The signature is not one of key ann-2026"),
        (trust(ANN, user="bob"), "Key ann-2026 may not sign it: its rows for project 4211/90071 are not of ann."),
        (trust(ANN, project_id=7), "Key ann-2026 may not sign it: its rows with decision are not for project"),
        (trust(ANN, valid_until=NOON), "Key ann-2026 may not sign it: it is not valid at 2026-11-24T12:00:00Z."),
    ],
)
def test_another_key_set_proves_nothing(signers: Any, sentence: str) -> None:
    problems = check(write([ACCEPTED])[0], signers).problems
    assert len(problems) == 1
    assert sentence in problems[0]


def test_a_key_counts_as_of_the_message() -> None:
    until = trust(ANN, valid_until=NOON + timedelta(seconds=1))
    assert check(write([ACCEPTED])[0], until).problems == []


@pytest.mark.parametrize(
    ("export", "sentence"),
    [
        (send_export(2, ACCEPTED, LINE | {"original_estimate_cost": "640000.01"}), "of another content"),
        (send_export(2, ACCEPTED, LINE, LINE | {"phase_code": "09900"}), "of another content"),
        (send_export(2, ACCEPTED, LINE, ZERO | {"revision_amount": "0.01"}), "line 09900 S is a zero with an amount"),
        (send_export(2, ACCEPTED, LINE, LINE | {"change": "zero"}), "line 05120 S is there twice"),
        (
            send_export(2, ACCEPTED, restatement=1, drift_decision=[]),
            "its drift_decision is not proven: This is no sig",
        ),
        (send_export(2, ACCEPTED, restatement=1, drift_decision=write_event(KEEP)), "asks for no restatement"),
        (send_export(2, ACCEPTED, restatement=1, drift_decision=write_event(ACCEPTED)), "but is no drift.decision.v1"),
        (send_export(2, receive(2, RESTATE, ANN)), "but is no approval.decision.v1"),
        (send_export(2, ACCEPTED, job_number="26-1002"), "of another content"),
        (send_export(2, ACCEPTED, budget_version=2), "its approval is of another version, 1"),
        (send_export(2, ACCEPTED, approved_by="bob"), "of another person than bob"),
        (send_export(2, ACCEPTED, approval={"id": "1"}), "its approval is not proven: This is no signed CloudEvent"),
        (send_export(2, ACCEPTED, approval={"x": 1.5}), "its approval is not proven: This is no signed CloudEvent"),
        (send_export(2, receive(2, accept(decision="reject", reason="no"), ANN)), "but it is no acceptance"),
    ],
)
def test_an_export_that_does_not_answer_to_its_acceptance_is_seen(export: Any, sentence: str) -> None:
    (problem,) = check(write([ACCEPTED, export])[0]).problems
    assert "spectrum.export.v1" in problem
    assert sentence in problem


def test_an_acceptance_of_another_budget_approves_nothing() -> None:
    elsewhere = KEY._replace(company_id=1)
    export = send_export(2, ACCEPTED, **elsewhere._asdict())._replace(budget=elsewhere)
    lines = change(write([export])[0], HEAD, lambda head: head.update(budget=str(elsewhere)))
    (problem,) = check(lines).problems
    assert "of 1/90071/55210 is not approved: its approval is of another budget, 4211/90071/55210" in problem


@pytest.mark.parametrize(
    "fields", [{"lines": [{}]}, {"attempt": 10**30}, {"approved_at": None}, {"company_id": "x"}, {"lines": None}]
)
def test_what_is_sent_as_an_export_and_is_none_is_seen(fields: dict[str, Any]) -> None:
    (problem,) = check(write([ACCEPTED, send_export(2, ACCEPTED, **fields)])[0]).problems
    assert problem == "line 4: its value is no export, though it is sent as one"


def test_lines_that_were_swapped_or_doubled_are_seen_although_the_chain_was_written_anew() -> None:
    lines, _ = write(make_honest())
    swapped = [*lines[:LOCK], lines[ACCEPT], lines[LOCK], *lines[EXPORT:]]
    doubled = [*lines[: ACCEPT + 1], *lines[ACCEPT:END], *lines[END:]]
    for changed, place in ((swapped, 4), (doubled, 5)):
        anew = change([*changed[:-1], b'{"kind":"end","lines":%d}' % (len(changed) - 1)], HEAD, lambda _: None)
        assert check(anew).problems == [
            f"line {place}: it does not come after the line before it in the inbox: lines were added or swapped"
        ]


def test_a_line_without_an_end_takes_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "trail.jsonl"
    file.write_bytes(b"x" * (MAX_LINE_BYTES + 1))
    with file.open("rb") as opened:
        assert [len(line) for line in read_lines(opened)] == [MAX_LINE_BYTES, 1]


def test_an_acceptance_in_an_export_counts_as_of_its_signing() -> None:
    export = send_export(2, ACCEPTED)
    (problem,) = check(write([export])[0], trust(ANN, valid_from=NOON)).problems
    assert "its approval is signed with key ann-2026, which may not: it is not valid at 2026-11-24T09:00:00Z" in problem
    assert check(write([export])[0], trust(ANN, valid_until=NOON)).problems == []


def test_removed_lines_and_restatements_answer_to_the_acceptance_too() -> None:
    restate = {"restatement": 1, "drift_decision": write_event(receive(3, RESTATE, ANN))}
    exports = [send_export(2, ACCEPTED, LINE, ZERO), send_export(3, ACCEPTED, budget_version=2, **restate)]
    found = check(write([ACCEPTED, *exports])[0])
    assert (found.problems, found.proven) == ([], {"ann-2026": 4})


@pytest.mark.parametrize(
    ("export", "proven"),
    [
        (send_export(2, None), {}),
        # It was accepted while decisions had to be signed, and restated when they need not be.
        (send_export(2, ACCEPTED, restatement=1), {"ann-2026": 1}),
        (send_export(2, None, restatement=1, drift_decision=write_event(receive(3, RESTATE, ANN))), {"ann-2026": 1}),
    ],
)
def test_an_export_that_lacks_a_signed_decision_is_counted(export: Any, proven: dict[str, int]) -> None:
    found = check(write([export])[0])
    assert (found.problems, found.unapproved, found.proven) == ([], 1, proven)


def test_an_export_from_before_there_were_signatures_is_one() -> None:
    export = send_export(2, None)
    data = json.loads(export.record.value or b"")
    for name in ("restatement", "approval"):
        del data[name]
    found = check(write([export._replace(record=replace(export.record, value=json.dumps(data).encode()))])[0])
    assert (found.problems, found.unapproved) == ([], 1)


def test_what_was_pruned_is_said_to_be() -> None:
    received = receive(1, acknowledge("success"))
    gone = replace(received.original, key=None, headers=(), value=None)
    pruned = received._replace(pruned=True, original=gone)
    lines, page = write([pruned], pruned_before=NOON)
    line = read(lines)[2]
    assert (line["pruned"], line["says"], line["record"], line["value_sha256"]) == (True, None, None, None)
    assert line["verdict"] == "applied"
    assert check(lines).pruned == 1
    assert check(lines).problems == []
    assert "what it said was pruned" in page
    assert "Of what arrived before 2026-11-24 12:00:00" in page


def test_answers_of_spectrum_carry_their_bytes() -> None:
    (_, _, answer, _) = read(write([receive(1, acknowledge("failed", message="period closed"))])[0])
    assert (answer["says"]["status"], answer["says"]["message"]) == ("failed", "period closed")
    assert answer["record"]["value"]


def test_a_file_is_ascii_whatever_it_holds() -> None:
    hostile = receive(2, accept(content_hash=hash_of(), reason="\x1b[2J\u202e ünï \u2028"), ANN, ("\ud800", b"\xff"))
    lines, _ = write([hostile])
    assert all(line.isascii() and line.count(b"\n") == 1 for line in lines)
    assert check(lines).problems == []


def test_an_envelope_that_names_no_key_is_no_signature() -> None:
    envelope = {"payload": "", "payloadType": "https://cloudevents.io/verifiability/dsse/v0.1"}
    material = b64encode(json.dumps(envelope | {"signatures": [{"keyid": "\ud800", "sig": ""}]}).encode())
    lines, _ = write([receive(2, accept(), None, ("ce_dssematerial", material))], RULES_LINE._replace(required=()))
    assert read(lines)[2]["signed"] is None
    assert check(lines).problems == []


@pytest.mark.parametrize("text", [b"\n", b"null\n", b"[" * 10_000 + b"\n", b"\xff\n", b'{"kind":"end","lines":"1"}\n'])
def test_what_is_no_line_is_named(text: bytes) -> None:
    lines, _ = write(make_honest())
    problems = check([*lines[:2], text, *lines[2:]]).problems
    assert problems[0].startswith("line 3: it is no line of a trail: ")


def test_however_many_problems_a_file_has_the_first_are_kept() -> None:
    found = check([b"nothing\n"] * 1000)
    assert (len(found.problems), found.problem_count) == (MAX_PROBLEMS, 1001)


def test_the_page_has_every_line_and_its_digest() -> None:
    lines, page = write(make_honest())
    for line in lines[1:]:
        text = line.removesuffix(b"\n")
        if json.loads(text)["kind"] != "rules":
            assert sha256(text).hexdigest() in page
    for shown in ("approval.decision.v1 4211/90071/55210 version 1", "ann-2026, 2026-11-24T09:00:00Z", "by olga"):
        assert shown in page


def test_the_page_has_no_script_and_loads_nothing() -> None:
    _, page = write(make_honest())
    policy = "default-src 'none'; style-src 'sha256-"
    assert f'http-equiv="Content-Security-Policy" content="{policy}' in page
    for absent in ("<script", "javascript:", "src=", "href=", "@import", "url("):
        assert absent not in page


def test_the_style_is_the_one_that_its_policy_names() -> None:
    _, page = write([])
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in page


def test_hostile_text_is_harmless_in_the_page() -> None:
    evil = "</td><script>alert(1)</script>\u202e\x1b[31m\"'&"
    row = receive(2, accept(by="<b>ann", reason=evil), ANN)._replace(detail=evil, id=evil)
    rules = RULES_LINE._replace(applied=((evil, evil, NOON),))
    _, page = write([row, send_export(2, None, currency=evil)], rules, group_id=evil)
    assert "<script" not in page
    assert "<b>ann" not in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;\\u202e\\x1b[31m&quot;&#x27;&amp;") >= 5
