-- Statements of prune, which works lane by lane from the oldest record on. Both searches stop at the first record that
-- is not old enough, so that no outbox row is left whose message has lost its bytes.

-- name: lock_pruning
-- One prune at a time, and none beside a recovery. Any number that nothing else uses as an advisory lock.
select pg_try_advisory_lock(421190073);

-- name: find_cutoff
select now() - $1::interval;

-- name: find_old_rows
-- The next outbox rows of a lane below its published offset that are older than a time.
select inbox_offset, ordinal
from (
    select inbox_offset, ordinal, bool_and(at < $5) over (order by inbox_offset, ordinal) as is_old
    from (
        select inbox_offset, ordinal, at
        from outbox
        where inbox_partition = $1 and (inbox_offset, ordinal) > ($2, $3) and inbox_offset < $4
        order by inbox_offset, ordinal
        limit $6
    ) as next
) as candidates
where is_old
order by inbox_offset, ordinal;

-- name: drop_rows
delete from outbox
using unnest($2::bigint[], $3::integer[]) as old (inbox_offset, ordinal)
where outbox.inbox_partition = $1
and (outbox.inbox_offset, outbox.ordinal) = (old.inbox_offset, old.ordinal);

-- name: find_old_messages
-- The next messages of a lane below its published offset that are older than a time, and whether their bytes may be
-- deleted: not while they are still to be decided or their budget is on hold, and never those of a person's message,
-- nor those of one that nobody has proven: without them nobody can say in whose name it came, or by which key.
select inbox_offset,
    not pruned
    and verdict not in ('parked', 'waiting', 'held')
    and (type in ('budget.locked.v1', 'erp.acknowledgement.v1', 'erp.snapshot.v1', 'import.applied.v1',
        'deadline.passed.v1') or (type = '' and budget_id is null))
    and not exists (
        select from budgets
        where (budgets.company_id, budgets.project_id, budgets.budget_id)
            = (next.company_id, next.project_id, next.budget_id) and budgets.on_hold
    )
    and not exists (
        select from holds
        where (holds.company_id, holds.project_id, holds.budget_id)
            = (next.company_id, next.project_id, next.budget_id) and holds.inbox_offset is null
    ) as goes
from (
    select *, bool_and(at < $4) over (order by inbox_offset) as is_old
    from (
        select inbox_offset, at, company_id, project_id, budget_id, type, verdict, pruned
        from history
        where inbox_partition = $1 and inbox_offset > $2 and inbox_offset < $3
        order by inbox_offset
        limit $5
    ) as candidates
) as next
where is_old
order by inbox_offset;

-- name: drop_bytes
-- The rest of a message is kept, so that a repeat is recognised and the history stays complete.
update history set pruned = true, key = null, headers = '[]', body = null
where inbox_partition = $1 and inbox_offset = any($2::bigint[]);

-- name: remember_pruning
update deployment set pruned_before = greatest(pruned_before, $1);
