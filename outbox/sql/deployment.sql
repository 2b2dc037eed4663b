-- Facts about the deployment as a whole.

-- name: read_deployment
select id from deployment;

-- name: fix_inbox_partitions
-- The number is written once; later callers read what was written.
update deployment set inbox_partitions = coalesce(inbox_partitions, $1) returning inbox_partitions;

-- name: find_held_jobs
-- The jobs in which Spectrum may hold something, each with the budget.
select company_id, project_id, budget_id, company_code, job_number from budgets where job_number is not null;
