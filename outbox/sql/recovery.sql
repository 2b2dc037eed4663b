-- Statements of recover, after something outside was restored, lost or recreated.

-- name: lock_out_pruning
-- A recovery may move offsets back, and pruning relies on them.
select pg_try_advisory_xact_lock_shared(421190073);

-- name: read_positions
select inbox_partition, next_offset, owner, last_offset, last_timestamp_ms, last_hash from positions;

-- name: drop_position
-- Waits until an open transaction of its owner has ended.
delete from positions where inbox_partition = $1;

-- name: shift_history
-- The offsets of a log that no longer exists are lowered by 2^50: still in their order, and before those of the new log.
update history set inbox_offset = inbox_offset - 1125899906842624 where inbox_partition = $1;

-- name: shift_outbox
update outbox set
    inbox_offset = case when inbox_partition = $1 then inbox_offset - 1125899906842624 else inbox_offset end,
    dead_letter_of_offset = case
        when dead_letter_of_partition = $1 then dead_letter_of_offset - 1125899906842624
        else dead_letter_of_offset
    end
where inbox_partition = $1 or dead_letter_of_partition = $1;

-- name: shift_holds
update holds set inbox_offset = inbox_offset - 1125899906842624 where inbox_partition = $1;

-- name: add_holds_to_come
-- Budgets that are on hold already stay as they are; the others count as on hold from now on, also in lists.
with given as (
    select company_id, project_id, budget_id, reason, inbox_partition
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::integer[])
        as given (company_id, project_id, budget_id, reason, inbox_partition)
    where not exists (
        select from budgets
        where (budgets.company_id, budgets.project_id, budgets.budget_id)
            = (given.company_id, given.project_id, given.budget_id) and budgets.on_hold
    )
), shown as (
    update budgets set on_hold = true from given
    where (budgets.company_id, budgets.project_id, budgets.budget_id)
        = (given.company_id, given.project_id, given.budget_id)
)
insert into holds (company_id, project_id, budget_id, reason, inbox_partition)
select * from given
on conflict do nothing;

-- name: read_held
-- Budgets on hold, or held from their next message on.
select company_id, project_id, budget_id from budgets where on_hold
union
select company_id, project_id, budget_id from holds where inbox_offset is null;

-- name: read_revisions
select company_id, project_id, budget_id, revision
from budgets
join unnest($1::bigint[], $2::bigint[], $3::bigint[]) as asked (company_id, project_id, budget_id)
    using (company_id, project_id, budget_id);

-- name: drop_readings
delete from readings
using unnest($1::bigint[], $2::bigint[], $3::bigint[]) as given (company_id, project_id, budget_id)
where (readings.company_id, readings.project_id, readings.budget_id)
    = (given.company_id, given.project_id, given.budget_id);

-- name: show_holds_to_come
-- A budget that is held from its next message on counts as on hold.
update budgets set on_hold = true from holds
where (budgets.company_id, budgets.project_id, budgets.budget_id)
    = (holds.company_id, holds.project_id, holds.budget_id) and holds.inbox_offset is null;
