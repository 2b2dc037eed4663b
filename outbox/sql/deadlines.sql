-- Statements of the timer.

-- name: find_due
-- The budgets of these lanes that have something due, the longest due first. Budgets on hold are left out, because the
-- deadline would only be one more message that is held. Once a budget is released, it is due again.
(
    select 'acknowledgement' as deadline, company_id, project_id, budget_id, version, acknowledgement_due_at as due_at
    from budgets
    where inbox_partition = any($1::integer[]) and acknowledgement_due_at <= now() and not on_hold
    order by acknowledgement_due_at
    limit $2
)
union all
(
    select 'parked', company_id, project_id, budget_id, parked_due_version, parked_due_at
    from budgets
    where inbox_partition = any($1::integer[]) and parked_due_at <= now() and not on_hold
    order by parked_due_at
    limit $2
)
order by due_at
limit $2;
