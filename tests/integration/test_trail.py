"""The audit trail of a real Postgres: what the bridge has stored is exported, and the file proves itself."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from contracts.fields import write_time
from contracts.inbox import Arrival
from contracts.signature.keys import write_public_jwk
from handlers.ids import name_export
from handlers.rules import Job
from outbox.database import Connection
from outbox.position import Position
from outbox.prune import Old, prune
from outbox.rules import put_in_force
from outbox.store import store_batch
from outbox.trail import Between, Scope, open_trail
from tests.integration.records import TOPICS, arrive
from tests.unit.builders import KEY, acknowledge, lock
from tests.unit.signed import ANN, NOW, SIGNED, SPECTRUM, STRANGER, accept_signed, arrive_signed
from worker.signed_exports import Signers
from worker.trail.export import make_lines
from worker.trail.output import write_trail
from worker.trail.verifying import verify_trail

OTHER = KEY._replace(project_id=7)
ITS_RULES = replace(SIGNED, jobs={**SIGNED.jobs, OTHER.project: Job("001", "J7")})
MINE = Signers(SIGNED.signing_keys, SIGNED.signers)


@pytest.fixture
async def rules(connection: Connection) -> None:
    await put_in_force(connection, ITS_RULES, "olga", "signatures")


@pytest.fixture
async def stored(connection: Connection, position: Position) -> Position:
    """A lock, a forged and a genuine acceptance, Spectrum's answer, another budget, and bytes that are no message."""
    after, _ = await store_batch(connection, position, make_story(), TOPICS)
    return after


def make_story() -> Sequence[Arrival]:
    return [
        arrive(0, lock()),
        arrive_signed(1, accept_signed(), key=STRANGER),
        arrive_signed(2, accept_signed()),
        arrive_signed(3, acknowledge("success", number=1), "answer", key=SPECTRUM),
        arrive(4, lock(key=OTHER)),
        arrive(5, b"nothing"),
    ]


async def write(url: str, scope: Scope) -> list[bytes]:
    lines: list[bytes] = []
    async with open_trail(url) as trail:
        await write_trail(make_lines(trail, scope, "0.1.0"), lines.append, None)
    return lines


async def read(url: str, scope: Scope) -> list[dict[str, Any]]:
    return [json.loads(line) for line in await write(url, scope)]


def list_received(lines: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(line["inbox"]["offset"], line["verdict"]) for line in lines if line["kind"] == "received"]


async def test_what_became_of_a_budget_is_written_and_proven(database_url: str, stored: Position) -> None:
    assert stored
    lines = await write(database_url, KEY)
    found = verify_trail(lines, MINE)
    assert found.problems == []
    assert found.proven == {ANN.public.kid: 2, SPECTRUM.public.kid: 1}
    values = [json.loads(line) for line in lines]
    assert list_received(values) == [(0, "applied"), (1, "refused"), (2, "applied"), (3, "applied")]
    assert [line["kind"] for line in values[:3]] == ["head", "rules", "received"]
    assert values[1]["signatures_required"] == sorted(SIGNED.signatures_required)
    assert values[1]["applied"][0]["by"] == "olga"
    locked, forged, accepted, answered = (line for line in values if line["kind"] == "received")
    assert (locked["who"], locked["record"], locked["proven_by"]) == ("sam", None, None)
    assert (forged["who"], forged["signed"]["kid"], forged["proven_by"]) == ("ann", STRANGER.public.kid, None)
    assert (accepted["who"], accepted["says"]["decision"], accepted["proven_by"]) == ("ann", "accept", "ann-1")
    assert (accepted["origin"]["topic"], accepted["origin"]["offset"]) == ("x.procore.approvals", 102)
    assert answered["says"]["status"] == "success"


async def test_what_was_sent_follows_its_cause(database_url: str, stored: Position) -> None:
    assert stored
    lines = await read(database_url, KEY)
    places = [(line.get("inbox") or line["cause"])["offset"] for line in lines if line["kind"] in {"received", "sent"}]
    assert places == sorted(places)
    (export,) = (line for line in lines if line.get("type") == "spectrum.export.v1")
    assert (export["topic"], export["cause"]["offset"]) == ("x.spectrum.exports", 2)
    assert export["says"]["export_id"] == str(name_export(KEY, 1, 1))
    assert [line["kind"] for line in lines if line["kind"] == "sent" and line["cause"]["offset"] == 1]


async def test_a_time_selects_everything_that_arrived_in_it(database_url: str, stored: Position) -> None:
    assert stored
    everything = await read(database_url, Between(datetime(2000, 1, 1, tzinfo=UTC), None))
    assert [offset for offset, _ in list_received(everything)] == list(range(6))
    assert everything[0]["since"] == "2000-01-01T00:00:00Z"
    first, last = everything[3 - 1]["at"], list(filter(None, (line.get("at") for line in everything)))[-1]
    since = datetime.fromisoformat(first) + timedelta(milliseconds=1)
    until = datetime.fromisoformat(last)
    some = await read(database_url, Between(since, until))
    assert 0 < len(list_received(some)) < len(list_received(everything))
    assert {line["at"] for line in some if "at" in line} <= {line["at"] for line in everything if "at" in line}


async def test_the_trail_is_of_one_moment(database_url: str, connection: Connection, stored: Position) -> None:
    lines: list[bytes] = []
    async with open_trail(database_url) as trail:
        made = make_lines(trail, KEY, "0.1.0")
        first = await anext(made)
        await store_batch(connection, stored, [arrive_signed(6, accept_signed(2), "late")], TOPICS)
        lines = [line.model_dump_json().encode() async for line in made]
    assert first.kind == "head"
    assert not any(b'"late"' in line for line in lines)
    assert any(b'"late"' in line for line in await write(database_url, KEY))


async def test_pruned_bytes_are_said_to_be_pruned(database_url: str, connection: Connection, stored: Position) -> None:
    old = Old(0, stored.next_offset, datetime(2100, 1, 1, tzinfo=UTC))
    async for _ in prune(connection, old, dry_run=False):
        pass
    lines = await read(database_url, KEY)
    assert lines[0]["pruned_before"]
    received = [line for line in lines if line["kind"] == "received"]
    # What a forgery says, in whose name and by which key, stays.
    assert [line["pruned"] for line in received] == [True, False, False, True]
    assert [line["says"] is None for line in received] == [True, False, False, True]
    assert (received[1]["who"], received[1]["signed"]["kid"]) == ("ann", "stranger-1")
    found = verify_trail(await write(database_url, KEY), MINE)
    assert (found.problems, found.pruned) == ([], 2)


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "worker", "audit", *arguments], env=kept | environment, capture_output=True, check=False
    )


def write_signers(folder: Path) -> None:
    folder.mkdir()
    keys = [write_public_jwk(key) for key in SIGNED.signing_keys.values()]
    (folder / "signers.jwks.json").write_text(json.dumps({"keys": keys}))
    rows = [f"{row.kid},{row.user},{row.company_id},,{' '.join(sorted(row.may))},,\n" for row in SIGNED.signers]
    (folder / "signers.csv").write_text("kid,user,company_id,project_id,may,valid_from,valid_until\n" + "".join(rows))


async def test_the_command_writes_a_file_and_a_page_that_verify_without_servers(
    database_url: str, stored: Position, tmp_path: Path
) -> None:
    assert stored
    page, file, signers = tmp_path / "trail.html", tmp_path / "trail.jsonl", tmp_path / "signers"
    done = await asyncio.to_thread(run, str(KEY), "--html", page, DATABASE_URL=database_url)
    assert done.returncode == 0, done.stderr.decode()
    file.write_bytes(done.stdout)
    digest = done.stderr.decode().split()[-1]
    assert digest in page.read_text()
    write_signers(signers)
    verified = await asyncio.to_thread(run, "verify", file, "--rules", signers)
    assert verified.returncode == 0, verified.stdout.decode() + verified.stderr.decode()
    for sentence in (f"digest of the last line: {digest}", "proven by key ann-1: 2 messages and decisions in exports"):
        assert sentence in verified.stdout.decode()
    file.write_bytes(done.stdout.replace(b'"applied"', b'"refused"', 1))
    changed = await asyncio.to_thread(run, "verify", file, "--rules", signers)
    assert changed.returncode == 1
    assert "was changed, or lines were removed, added or swapped" in changed.stdout.decode()


async def test_the_command_says_what_is_missing(database_url: str, stored: Position, tmp_path: Path) -> None:
    assert stored
    unknown = await asyncio.to_thread(run, "4211/1/1", DATABASE_URL=database_url)
    assert (unknown.returncode, unknown.stderr.decode().splitlines()[-1]) == (
        1,
        "no message ever named budget 4211/1/1",
    )
    for arguments, sentence in (
        (("verify", tmp_path / "none"), "none cannot be read: No such file or directory"),
        (("verify", tmp_path / "none", "--rules", tmp_path), "--rules: there is no signers.jwks.json in"),
        ((str(KEY), "--html", tmp_path), "cannot be written: Is a directory"),
        ((str(KEY), "--since", write_time(NOW)), "either a budget is expected, or --since"),
        (("--until", write_time(NOW)), "either a budget is expected, or --since"),
        (("--since", "yesterday"), "an RFC 3339 time with offset"),
    ):
        done = await asyncio.to_thread(run, *arguments, DATABASE_URL=database_url)
        assert done.returncode == 2
        assert sentence in " ".join(done.stderr.decode().replace("│", " ").split()), done.stderr.decode()


async def test_a_trail_of_one_budget_has_nothing_of_another(database_url: str, stored: Position) -> None:
    assert stored
    of_other = await read(database_url, OTHER)
    assert {line["budget"] for line in of_other if line["kind"] in {"received", "sent"}} == {str(OTHER)}
