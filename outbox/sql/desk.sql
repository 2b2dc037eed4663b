-- Statements of the desk: what its pages show. A page sees one project or company at most of whoever may see it: $1 are
-- the companies of which a person sees everything, $2 and $3 the other projects.

-- name: list_pending
-- The budgets of one status that wait for an approver, the longest first, after one of them.
select company_id, project_id, budget_id, revision, since
from budgets
where status = $4
and (company_id = any($1::bigint[]) or (company_id, project_id) in (select * from unnest($2::bigint[], $3::bigint[])))
and ($5::bigint is null or (company_id, project_id) = ($5, $6))
and ($7::timestamptz is null or (since, company_id, project_id, budget_id) > ($7, $8::bigint, $9::bigint, $10::bigint))
order by since, company_id, project_id, budget_id
limit $11;

-- name: count_pending
select count(*)
from budgets
where status = $4
and (company_id = any($1::bigint[]) or (company_id, project_id) in (select * from unnest($2::bigint[], $3::bigint[])))
and ($5::bigint is null or (company_id, project_id) = ($5, $6));

-- name: load_listed
-- Budgets of a list, without their readings, which can be large.
select company_id, project_id, budget_id, revision, state, on_hold and not is_hold_to_come(budgets.*) as on_hold
from budgets
join unnest($1::bigint[], $2::bigint[], $3::bigint[]) as asked (company_id, project_id, budget_id)
    using (company_id, project_id, budget_id);
