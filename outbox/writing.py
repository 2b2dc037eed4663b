"""Writes a decided batch: history, verdicts, budgets, outbox and holds. Runs in the lane's transaction.

What is only added is copied (``COPY``), which costs worker and server about two thirds of an ``INSERT`` of arrays.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from contracts.budget_key import BudgetKey
from contracts.cloudevents.message import Message, Unproven
from contracts.inbound import InboundMessage
from handlers.budget import Budget
from handlers.decision import show_read_back
from handlers.readings import Readings
from outbox import budget_state
from outbox.batch import DecidedBatch, HistoryEntry, Loaded
from outbox.columns import clean_text, fit_integer, transpose
from outbox.database import Connection
from outbox.outbox_rows import OutboxRow
from outbox.position import PositionLost
from outbox.queries import QUERIES
from outbox.stored_records import pack_headers

_HISTORY: Final = (
    "company_id, project_id, source, id, type, inbox_partition, inbox_offset, at, origin_topic, origin_partition, "
    "origin_offset, origin_timestamp_ms, budget_id, budget_version, key, headers, body, verdict, detail, rules_id, kid"
)
_BUDGETS: Final = (
    "company_id, project_id, budget_id, revision, inbox_partition, status, version, since, content_hash, export_id, "
    "attempt, synced_version, waiting_version, acknowledgement_due_at, overdue, on_hold, parked, parked_due_at, "
    "parked_due_version, company_code, job_number, claims_job, sequence, state, release_due_at, last_reference, "
    "snapshot_due_at, read_back_due_at, read_since, read_back, drift_amount, import_due_at"
)
_OUTBOX: Final = (
    "inbox_partition, inbox_offset, ordinal, id, at, topic, type, company_id, project_id, budget_id, key, headers, "
    "value, dead_letter_of_partition, dead_letter_of_offset"
)


async def write_batch(connection: Connection, inbox_partition: int, loaded: Loaded, decided: DecidedBatch) -> None:
    """Write a decided batch.

    Args:
        connection: a session inside the transaction that also moves the lane's position.
        inbox_partition: the lane.
        loaded: what the batch was decided from; budgets are written only if they still have these revisions.
        decided: what to write.

    Raises:
        PositionLost: another session has changed one of the budgets since they were loaded.
    """
    if decided.entries:
        history = [_write_history(entry, decided.rules.id) for entry in decided.entries]
        # Sorted, so that two lanes that insert at once cannot deadlock on the index.
        await _copy(connection, "history", _HISTORY, sorted(history))
        sys.audit("budget-bridge.store.history-written", inbox_partition)
    if decided.resolved:
        # If a message got several verdicts in this batch, the last one counts.
        last = {identity: (verdict.value, clean_text(detail)) for identity, verdict, detail in decided.resolved}
        resolved = [(*identity, *found) for identity, found in last.items()]
        await connection.execute(QUERIES["resolve_history"], *transpose(resolved, len(resolved[0])))
        sys.audit("budget-bridge.store.verdicts-changed", inbox_partition)
    revisions = {key: revision for key, (_, revision) in loaded.budgets.items()}
    await write_budgets(connection, inbox_partition, revisions, decided.budgets)
    before = {key: budget.readings for key, (budget, _) in loaded.budgets.items()}
    await write_readings(connection, decided.budgets, before)
    await _hold_unreadable(connection, inbox_partition, decided.newly_unreadable)
    if decided.rows:
        rows = [_write_row(inbox_partition, row) for row in decided.rows]
        await _copy(connection, "outbox", _OUTBOX, rows)
        sys.audit("budget-bridge.store.outbox-written", inbox_partition)
    if decided.holds:
        holds = [
            (*hold.budget, clean_text(hold.reason), inbox_partition, hold.inbox_offset, hold.silent)
            for hold in decided.holds
        ]
        await connection.execute(QUERIES["add_holds"], *transpose(holds, len(holds[0])))
        sys.audit("budget-bridge.store.holds-written", inbox_partition)


async def write_budgets(
    connection: Connection,
    inbox_partition: int,
    revisions: Mapping[BudgetKey, int],
    changed: Mapping[BudgetKey, Budget],
) -> None:
    """Write budgets, provided that nobody has changed them since they were read.

    Args:
        connection: a session inside a transaction.
        inbox_partition: the lane of the budgets.
        revisions: the revisions that were read; a budget without one is added.
        changed: the budgets to write.

    Raises:
        PositionLost: another session has changed one of them.
    """
    added = [_write_budget(budget, 1, inbox_partition) for key, budget in changed.items() if key not in revisions]
    updated = [
        _write_budget(budget, revisions[key] + 1, inbox_partition)
        for key, budget in changed.items()
        if key in revisions
    ]
    if added:
        await _copy(connection, "budgets", _BUDGETS, added)
        sys.audit("budget-bridge.store.budgets-added", inbox_partition)
    if updated:
        await _change_all(connection, inbox_partition, "change_budgets", updated)
        sys.audit("budget-bridge.store.budgets-changed", inbox_partition)


async def _copy(connection: Connection, table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
    try:
        await connection.copy_records_to_table(table, columns=columns.split(", "), records=rows)
    except (TypeError, ValueError, OverflowError) as error:
        # Of a value that does not fit its column; as an argument of a statement it would be this error.
        raise asyncpg.DataError(str(error)) from error


async def write_readings(
    connection: Connection, changed: Mapping[BudgetKey, Budget], before: Mapping[BudgetKey, Readings | None]
) -> None:
    """Write the readings of budgets, where they have others than before.

    Args:
        connection: a session inside a transaction that also writes the budgets.
        changed: the budgets.
        before: what is stored of their readings.
    """
    rows = [
        (*key, budget_state.write_readings(budget.readings))
        for key, budget in changed.items()
        if budget.readings is not None and budget.readings is not before.get(key)
    ]
    if rows:
        await connection.execute(QUERIES["put_readings"], *transpose(sorted(rows), 4))
        sys.audit("budget-bridge.store.readings-written")


async def _hold_unreadable(connection: Connection, inbox_partition: int, revisions: Mapping[BudgetKey, int]) -> None:
    if revisions:
        rows = [(*key, revision) for key, revision in revisions.items()]
        await _change_all(connection, inbox_partition, "hold_budgets", rows)


async def _change_all(
    connection: Connection, inbox_partition: int, query: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    done = await connection.execute(QUERIES[query], *transpose(rows, len(rows[0])))
    if int(done.rpartition(" ")[2]) != len(rows):
        message = f"another session changed a budget of inbox partition {inbox_partition}"
        raise PositionLost(message)


def _write_history(entry: HistoryEntry, rules_id: int) -> tuple[Any, ...]:
    inbox, original, message = entry.arrival.inbox, entry.arrival.original, entry.arrival.message
    body = _find_body(entry)
    return (
        *entry.identity,
        inbox.place.partition,
        inbox.place.offset,
        entry.at,
        clean_text(original.place.topic),
        fit_integer(original.place.partition, 32),
        fit_integer(original.place.offset, 64),
        fit_integer(original.timestamp_ms, 64),
        body.budget_id if body else None,
        body.version if body else None,
        original.key,
        pack_headers(original.headers),
        original.value,
        entry.verdict.value,
        clean_text(entry.detail),
        rules_id,
        message.proof.kid if isinstance(message, Message) and message.proof else None,
    )


def _find_body(entry: HistoryEntry) -> InboundMessage | None:
    message = entry.arrival.message
    if isinstance(message, Unproven):
        return message.message.body
    # A record that is set aside has no budget in history, even if its message can be read.
    return message.body if isinstance(message, Message) and entry.identity.type else None


def _write_budget(budget: Budget, revision: int, inbox_partition: int) -> tuple[Any, ...]:
    known = budget.read_back
    version, sent, held = budget.version, budget.try_of_version, budget.spectrum_target
    parked = min(budget.parked, key=lambda kept: kept.due_at, default=None)
    return (
        *budget.key,
        revision,
        inbox_partition,
        budget.status,
        version.number if version else None,
        budget.since,
        version.content_hash if version else None,
        budget.export_id_of_version,
        sent.attempt if sent else None,
        budget.synced_version,
        budget.waiting.lock.budget_version if budget.waiting else None,
        budget.due_at,
        budget.overdue,
        budget.on_hold,
        len(budget.parked),
        parked.due_at if parked else None,
        parked.request.budget_version if parked else None,
        clean_text(held.company_code) if held else None,
        clean_text(held.job_number) if held else None,
        budget.claims_job,
        budget.sequence,
        budget_state.write_state(budget),
        budget.release_due_at if budget.releasing else None,
        budget.last_reference,
        budget.open_request.due_at if budget.open_request else None,
        known.due_at if known else None,
        known.since if known and budget.base else None,
        show_read_back(known).state,
        sum(line.amount for line in known.open_lines) if known else 0,
        budget.open_import.due_at if budget.open_import else None,
    )


def _write_row(inbox_partition: int, row: OutboxRow) -> tuple[Any, ...]:
    record = row.record
    return (
        inbox_partition,
        row.inbox_offset,
        row.ordinal,
        row.id,
        row.at,
        record.topic,
        row.type,
        *(row.budget or (None, None, None)),
        record.key,
        pack_headers(record.headers),
        record.value,
        *(row.dead_letter_of or (None, None)),
    )
