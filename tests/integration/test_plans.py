"""Which index serves a statement: none of those of lanes, timers, reports and pruning reads a whole large table."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from outbox.database import Connection
from outbox.queries import QUERIES

ROWS = 60_000
"""Enough that the planner prefers an index to reading all; the statements were also tried with a million."""

_FILL = """
insert into budgets (company_id, project_id, budget_id, revision, inbox_partition, status, version, since, content_hash,
    synced_version, overdue, on_hold, parked, company_code, job_number, claims_job, sequence, state, read_since,
    read_back, drift_amount)
select 1, n, 1, 1, n % 12, 'SYNCED', 1, now() - n * interval '1 s', 'h', 1, false, n % 10000 = 0, 0, '001', 'J' || n,
    true, 1, json_build_object('pad', repeat('x', 300)), now() - n * interval '1 s',
    case when n % 2000 = 0 then 'differs' when n % 2000 = 1 then 'never' else 'matches' end, n % 2000
from generate_series(1, $1::bigint) as n;
insert into history (company_id, project_id, source, id, inbox_partition, inbox_offset, at, origin_topic,
    origin_partition, origin_offset, origin_timestamp_ms, type, budget_id, budget_version, headers, body, verdict,
    detail, rules_id)
select 1, n % 1000 + 1, 's', n::text, n % 12, n, now(), 't', 0, n, 0, 'budget.locked.v1', 1, 1, '[]',
    convert_to(repeat('x', 300), 'UTF8'), case when n % 5000 = 0 then 'held' else 'applied' end, '', 1
from generate_series(1, $1::bigint) as n;
insert into outbox (inbox_partition, inbox_offset, ordinal, id, at, topic, type, company_id, project_id, budget_id,
    headers, value)
select n % 12, n, 0, gen_random_uuid(), now() - n * interval '1 s', case when n % 2000 = 0 then 'd' else 'o' end,
    case when n % 2000 = 0 then null else 'budget.status.v1' end, 1, n % 1000 + 1, 1,
    '[["dead_letter_reason", "unreadable"]]', convert_to(repeat('x', 300), 'UTF8')
from generate_series(1, $1::bigint) as n;
insert into readings (company_id, project_id, budget_id, content)
select 1, n, 1, '{}' from generate_series(1, $1::bigint) as n;
insert into holds (company_id, project_id, budget_id, reason, inbox_partition, inbox_offset)
select 1, n, 1, '', n % 12, n from generate_series(1, $1::bigint / 20) as n;
"""

KEY = ([1], [5], [1])
NOW = datetime(2026, 11, 24, tzinfo=UTC)
SEEN = ([1], [2], [7])
IDENTITY = ([1], [5], ["s"], ["4"], ["budget.locked.v1"])
PLANS: dict[str, tuple[tuple[Any, ...], str]] = {
    # Each with its parameters, and the index that serves it.
    "find_known": (IDENTITY, "history_pkey"),
    "load_budgets": (KEY, "budgets_pkey"),
    "measure_readings": (KEY, "readings_pkey"),
    "load_projects": (KEY[:2], "budgets_pkey"),
    "load_held_messages": ((1, 5, 1, 101, 1 << 22), "history_held"),
    "resolve_history": ((*IDENTITY, ["applied"], [""]), "history_pkey"),
    "find_due": (([0, 1], 1000), "budgets_by_release_due"),
    "count_statuses": ((), "budgets_by_status"),
    "count_read_back": ((), "budgets_by_read_since"),
    "count_read_back_states": ((), "budgets_never_read"),
    "count_never_read": ((timedelta(hours=3),), "budgets_never_read"),
    "list_drift": ((50,), "budgets_by_drift"),
    "list_waiting": ((20,), "budgets_waiting"),
    "list_budgets": (("INVALID", 1, 5, 1, 50), "budgets_by_status"),
    "count_budgets": (("INVALID",), "budgets_by_status"),
    "list_held_budgets": ((0, 0, 0, 50), "budgets_to_notice"),
    "count_held_budgets": ((), "budgets_to_notice"),
    "list_invalid_budgets": ((0, 0, 0, 50), "budgets_by_status"),
    "find_lost_jobs": (([1], [6], ["001"], ["J7"], 100), "budgets_by_job"),
    "show_budget": ((1, 5, 1), "budgets_pkey"),
    "show_history": ((1, 5, 1, 20), "history_by_budget"),
    "count_shown": ((1, 5, 1), "history_by_budget"),
    "show_verdict": ((1, 5, 1, "t", 0, 4, "4"), "history_by_budget"),
    "show_holds": ((1, 5, 1, 20), "holds_by_project"),
    "show_sent": ((1, 5, 1, 20), "outbox_by_budget"),
    "list_dead_letters": (("d", None, None, None, None, None, 20), "outbox_dead_letters"),
    "count_dead_letters": (("d", NOW, None, None, None, None), "outbox_dead_letters"),
    "find_dead_letter": (("d", UUID(int=0)), "outbox_dead_letters_by_id"),
    "show_dead_letter": (("d", UUID(int=0), 0, 12), "outbox_pkey"),
    "read_held": ((), "budgets_to_notice"),
    "show_holds_to_come": ((), "holds_to_come"),
    "drop_readings": (KEY, "readings_pkey"),
    "read_revisions": (KEY, "budgets_pkey"),
    "audit_verdicts": (IDENTITY, "history_pkey"),
    "audit_places": ((0, 12, 120), "history_by_place"),
    "audit_rows_since": (("o", 0, ROWS - 100), "outbox_pkey"),
    "audit_pages": ((1, 5, 1, ["s"], ["4"]), "history_pkey"),
    "audit_rows_at": ((0, [12], [0]), "outbox_pkey"),
    "audit_history": (([1], [5], None), "history_by_budget"),
    "audit_effects": ((1, 5), "outbox_pkey"),
    "audit_count_before": ((1, 5, NOW), "history_by_budget"),
    "audit_holds": ((1, 5), "holds_by_project"),
    "audit_budgets": ((1, 5), "budgets_pkey"),
    "trail_received_of_budget": ((1, 5, 1), "history_by_budget"),
    "trail_sent_of_budget": ((1, 5, 1), "outbox_by_budget"),
    # What a person may see: all of a company, and one other project.
    "list_pending": ((*SEEN, "PENDING_APPROVAL", None, None, None, None, None, None, 100), "budgets_to_approve"),
    "count_pending": ((*SEEN, "PENDING_APPROVAL", None, None), "budgets_to_approve"),
    "load_listed": (KEY, "budgets_pkey"),
    "show_budget_at": ((1, 5, 1), "budgets_pkey"),
    "show_received": ((1, 5, 1, 50, ["a"]), "history_by_budget"),
    "count_received": ((1, 5, 1), "history_by_budget"),
    "show_caused": ((1, 5, 1, [0], [12]), "outbox_by_budget"),
    "list_versions": ((1, 5, 1, 50), "history_by_budget"),
    "find_last_request": ((1, 5, 1, 1), "outbox_by_budget"),
    "list_people_messages": ((*SEEN, None, None, None, 200), "history_of_people"),
    "find_rows": (KEY, "budgets_pkey"),
    "list_rows_of_status": ((*SEEN, "INVALID", 1, 5, 1, 100), "budgets_by_status"),
    "list_noticed_rows": ((*SEEN, "overdue", 0, 0, 0, 100), "budgets_to_notice"),
    "list_differing_rows": ((*SEEN, "differs", 0, 0, 0, 100), "budgets_by_drift"),
    "list_rows_of_projects": ((*SEEN, [1], [5], 50), "budgets_pkey"),
    "find_keys": ((*SEEN, 5, "J7", UUID(int=0), 50, ["001"]), "budgets_by_number"),
    "find_keys_of_reference": ((*SEEN, [1], [5], "B0000001", 50), "outbox_by_budget"),
    "list_dead_letters_page": (
        ("d", None, None, None, None, None, *SEEN, True, None, None, None, None, 100),
        "outbox_dead_letters",
    ),
    "find_old_rows": ((0, 0, 0, ROWS, NOW, 1000), "outbox_pkey"),
    "find_old_messages": ((0, 0, ROWS, NOW, 1000), "history_by_place"),
    "drop_rows": ((0, [12], [0]), "outbox_pkey"),
    "drop_bytes": ((0, [12]), "history_by_place"),
}
LARGE = {"history", "outbox", "budgets", "holds", "readings"}
AS_GOOD = {
    "history_by_budget": "history_pkey",
    "history_pkey": "history_by_budget",
    "budgets_to_notice": "budgets_waiting",
    "outbox_by_budget": "outbox_pkey",
}
"""Indexes that begin in the same way, or have the same few entries: the planner takes either."""


def list_nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from list_nodes(part)


@pytest.mark.parametrize("rows", [ROWS])
async def test_no_statement_reads_a_whole_large_table(connection: Connection, rows: int) -> None:
    for statement in _FILL.strip().split(";\n"):
        if statement.strip("; \n"):
            await connection.execute(statement.strip("; \n").replace("$1", str(rows)))
    for table in sorted(LARGE):
        await connection.execute(f"vacuum analyze {table}")
    wrong = {}
    for name, (parameters, index) in PLANS.items():
        query = QUERIES[name]
        [[found]] = await connection.fetch(f"explain (format json) {query}", *parameters)
        nodes = list(list_nodes(json.loads(found)[0]["Plan"]))
        scanned = [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"]
        used = {node["Index Name"] for node in nodes if "Index Name" in node}
        if LARGE.intersection(scanned) or not used & {index, AS_GOOD.get(index, index)}:
            wrong[name] = (scanned, used)
    assert wrong == {}
