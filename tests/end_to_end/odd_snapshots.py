"""Hostile pages of snapshots: sizes, digits, keys, places among the pages, and exports that there never were."""

import json
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Final

from contracts.erp_snapshot import ErpSnapshot
from tests.end_to_end.odd_records import MIB, OddRecord, head

_TOPIC: Final = "spectrum.snapshots"


def list_odd_snapshots(snapshot: Mapping[str, Any]) -> Iterator[OddRecord]:
    """List them; ``snapshot`` is a valid page as JSON, the only one of its snapshot, to be spoilt."""
    whole = json.dumps(snapshot).encode()
    first, *rest = snapshot["lines"]
    ids = count()

    def write(name: str, value: bytes, **headers: bytes | None) -> OddRecord:
        attributes = head(f"snapshot-{next(ids)}", **({"ce_type": ErpSnapshot.type.encode()} | headers))
        return OddRecord(f"a snapshot: {name}", value, headers=attributes, topic=_TOPIC)

    def spoil(name: str, **changes: object) -> OddRecord:
        return write(name, json.dumps({**snapshot, "snapshot_id": name[:64], **changes}).encode())

    def spoil_line(name: str, **changes: object) -> OddRecord:
        return spoil(name, lines=[{**first, **changes}, *rest])

    def replace(name: str, field: str, text: bytes) -> OddRecord:
        return write(name, whole.replace(json.dumps(snapshot[field]).encode(), text, 1))

    yield from _list_pages(spoil, first, rest)
    yield write("no id", whole, ce_id=None)
    yield write("an id that is no UTF-8", whole, ce_id=b"\xff\xfe")
    yield write("a type of another topic", whole, ce_type=b"budget.locked.v1")
    yield write("an older type", whole, ce_type=b"erp.snapshot.v0")
    yield spoil_line("an amount of four million digits", current_estimate_cost="9" * 4_000_000)
    yield spoil_line("an amount with a million places", bridge_revision="0." + "0" * 1_000_000 + "1")
    yield spoil_line("an amount in exponents", original_estimate_cost="1e9")
    yield spoil_line("an amount with a comma", current_estimate_cost="1,000.00")
    yield spoil_line("an amount of three places", current_estimate_cost="0.001")
    yield replace("a total of four million digits", "total_current", b"9" * 4_000_000)
    yield replace("a total that is not a number", "total_current", b"NaN")
    yield spoil_line("an escape in a description", description="\x1b]52;c;aGk=\x07")
    yield spoil_line("a description of a million characters", description="x" * 1_000_000)
    yield spoil_line("a phase of zero-width characters", phase_code="\u200b\u200b")
    yield spoil_line("a NUL in a phase", phase_code="05\x00120")
    yield spoil_line("a status of its own", status="\u202eA")
    yield spoil_line("a line without an original", original_estimate_cost=None)
    begun = {"export_id": "00000000-0000-0000-0000-000000000000", "attempt": 1, "whole": True}
    yield spoil("an export that was never sent", last_begun=begun)
    yield spoil("an attempt beyond all", last_begun={**begun, "attempt": 10**30})
    yield spoil("an export that is no UUID", last_begun={**begun, "export_id": "x" * MIB})
    yield spoil("a job of another budget", job_number="J1")
    yield spoil("a request that there never was", request_id=begun["export_id"])
    yield spoil("an id with an escape", snapshot_id="\x1b[2J")
    yield spoil("an id of a mebibyte", snapshot_id="s" * MIB)
    yield spoil("read before it was begun", read_from="2026-12-01T00:00:00Z", read_to="2026-11-30T00:00:00Z")
    yield spoil("a body of 15 MiB", padding="x" * (15 * MIB))
    yield write("a null for each field", json.dumps(dict.fromkeys(snapshot)).encode())
    # Nothing that follows is later than it.
    yield spoil("read at the end of all years", read_from="9999-12-31T23:59:59Z", read_to="9999-12-31T23:59:59Z")


def _list_pages(spoil: Any, first: Mapping[str, Any], rest: list[Mapping[str, Any]]) -> Iterator[OddRecord]:
    """List what is odd about the pages of a snapshot and the lines of a page."""

    def make_lines(number: int, **changes: object) -> list[dict[str, Any]]:
        return [{**first, "phase_code": f"{line:05d}", **changes} for line in range(number)]

    yield spoil("2,001 lines", lines=make_lines(2001))
    yield spoil("sixty thousand lines", lines=make_lines(60_000))
    yield spoil("2,000 lines that do not add up", lines=make_lines(2000, description="x" * 255))
    yield spoil("empty lines by the thousand", lines=[{}] * 300_000)
    yield spoil("lines that are numbers", lines=list(range(100_000)))
    yield spoil("lines nested in lines", lines=[[[[[]]]]])
    yield spoil("page zero", page=0)
    yield spoil("a page beyond the last", page=3, pages=2)
    yield spoil("eleven pages", pages=11)
    yield spoil("a page that is true", page=True)
    yield spoil("a key twice", lines=[first, first])
    yield spoil("a key twice, once padded", lines=[first, {**first, "phase_code": f"{first['phase_code']} "}])
    yield spoil("totals that do not fit", total_original="0.01", total_current="0.01")
    yield spoil("a count that does not fit", line_count=10**9)
    yield spoil("the second page first", snapshot_id="two", pages=2, page=2, lines=rest, read_to="2026-11-25T08:00:08Z")
    yield spoil("the same page with other lines", snapshot_id="two", pages=2, page=2, read_to="2026-11-25T08:00:08Z")
    yield spoil("the first page with another header", snapshot_id="two", pages=2, page=1, lines=[first])
    yield spoil("originals that were not read", depth="current_only")
