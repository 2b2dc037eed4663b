-- Facts about the deployment as a whole.

-- name: read_deployment
select id from deployment;

-- name: read_first_start
select group_id, inbox, inbox_partitions from deployment;

-- name: record_first_start
-- Written once; whoever comes later reads what was written.
update deployment set group_id = coalesce(group_id, $1), inbox = coalesce(inbox, $2),
    inbox_partitions = coalesce(inbox_partitions, $3)
where group_id is null or inbox_partitions is null;

-- name: rename_inbox
update deployment set group_id = $1, inbox = $2;

-- name: find_held_jobs
-- The jobs in which Spectrum may hold something, each with the budget.
select company_id, project_id, budget_id, company_code, job_number from budgets where job_number is not null;
