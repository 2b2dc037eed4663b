-- Statements of the timer.

-- name: find_due
-- What is due of the budgets of these lanes, the longest due first. Budgets on hold, or with a release under way, are left
-- out, because the deadline would only be one more message that is held. Once a budget is released, it is due again.
(
    select 'acknowledgement' as deadline, company_id, project_id, budget_id, version, acknowledgement_due_at as due_at
    from budgets
    where inbox_partition = any($1::integer[]) and acknowledgement_due_at <= now() and not on_hold
        and release_due_at is null
    order by acknowledgement_due_at
    limit $2
)
union all
(
    select 'parked', company_id, project_id, budget_id, parked_due_version, parked_due_at
    from budgets
    where inbox_partition = any($1::integer[]) and parked_due_at <= now() and not on_hold
        and release_due_at is null
    order by parked_due_at
    limit $2
)
union all
(
    -- The next piece of a release; it is of no version, but every message names one.
    select 'release', company_id, project_id, budget_id, coalesce(version, 1), release_due_at
    from budgets
    where inbox_partition = any($1::integer[]) and release_due_at <= now() and not on_hold
    order by release_due_at
    limit $2
)
union all
(
    -- A request for a snapshot is of the budget as a whole.
    select 'snapshot', company_id, project_id, budget_id, null, snapshot_due_at
    from budgets
    where inbox_partition = any($1::integer[]) and snapshot_due_at <= now() and not on_hold
        and release_due_at is null
    order by snapshot_due_at
    limit $2
)
union all
(
    select 'read_back', company_id, project_id, budget_id, null, read_back_due_at
    from budgets
    where inbox_partition = any($1::integer[]) and read_back_due_at <= now() and not on_hold
        and release_due_at is null
    order by read_back_due_at
    limit $2
)
union all
(
    select 'import', company_id, project_id, budget_id, null, import_due_at
    from budgets
    where inbox_partition = any($1::integer[]) and import_due_at <= now() and not on_hold
        and release_due_at is null
    order by import_due_at
    limit $2
)
order by due_at
limit $2;
