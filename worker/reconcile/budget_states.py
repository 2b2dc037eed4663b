"""Checks each stored budget by itself: it has a row, can be read, and its amounts and readings agree with their hashes.

This needs no history, so it also finds manual changes to budgets whose messages are pruned.
"""

from collections.abc import AsyncIterator, Iterator

from contracts.budget_key import BudgetKey
from handlers.budget import Budget
from handlers.snapshot_pages import digest_page
from handlers.spectrum_lines import hash_content
from outbox.audit import Snapshot
from worker.reconcile.findings import DifferenceKind
from worker.reconcile.rebuild import describe_rebuilt
from worker.reconcile.reconciliation import Reconciliation


async def check_budget_states(reconciliation: Reconciliation) -> None:
    """Check every budget, and name the fields that were changed where the log shows what they should be."""
    findings, snapshot = reconciliation.findings, reconciliation.snapshot
    claim = findings.claim(
        "budgets", "every budget has a row, and its amounts and readings agree with their own hashes"
    )
    found = {key: what async for key, what in find_unsound_budgets(snapshot)}
    claim.checked = await snapshot.count_budgets()
    fields = await describe_rebuilt(reconciliation.deployment, snapshot, found) if found else {}
    for key, what in found.items():
        more = f": {fields[key]}" if fields.get(key) else ""
        findings.differ(claim, DifferenceKind.ALTERED, what + more, key)


async def find_unsound_budgets(snapshot: Snapshot) -> AsyncIterator[tuple[BudgetKey, str]]:
    """Find budgets that contradict themselves or have no row, each with what is wrong."""
    for key in await snapshot.find_rowless():
        yield key, "it has no row in budgets, but history has messages that were applied to it"
    async for stored in snapshot.read_budgets():
        if stored.budget is None:
            yield stored.key, "its stored state cannot be read"
            continue
        if what := "; ".join(check_budget(stored.key, stored.budget)):
            yield stored.key, what


def check_budget(key: BudgetKey, budget: Budget) -> Iterator[str]:
    """Check one budget by itself.

    Args:
        key: the key of its row.
        budget: its state.

    Yields:
        What is wrong with it, in words.
    """
    if budget.key != key:
        yield f"its state is that of budget {budget.key}"
    if budget.version and budget.version.proposal:
        proposal = budget.version.proposal
        if hash_content(proposal.target, proposal.lines) != budget.version.content_hash:
            yield "what its approver is asked to accept does not have its content hash"
        if proposal.total != sum(line.original + line.revision for line in proposal.lines):
            yield "the total of what its approver is asked to accept is not the sum of its lines"
    last = budget.last_reading
    if last and any(digest_page(last.header, page.number, page.lines) != page.digest for page in last.pages):
        yield "a page of the last reading is not what came in"
    for name, export in (("the export under way", budget.unanswered), ("the base", budget.base)):
        if export is None:
            continue
        lines = [line for line in export.lines if not line.gone]
        if hash_content(export.target, lines) != export.content_hash:
            yield f"{name} (version {export.version}) does not have its content hash"
        if export.total != sum(line.original + line.revision for line in export.lines):
            yield f"the total of {name} (version {export.version}) is not the sum of its lines"
