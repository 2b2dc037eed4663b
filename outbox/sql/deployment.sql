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

-- name: find_lost_jobs
-- Budgets that Spectrum may hold in a job that these rules give to another project, and how many there are.
select budgets.company_id, budgets.project_id, budgets.budget_id, budgets.company_code, budgets.job_number,
    given.company_id as company_of_taker, given.project_id as project_of_taker, count(*) over () as total
from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
    as given (company_id, project_id, company_code, job_number)
join budgets on (budgets.company_code, budgets.job_number) = (given.company_code, given.job_number)
where budgets.job_number is not null
and (given.company_id, given.project_id) <> (budgets.company_id, budgets.project_id)
order by budgets.company_id, budgets.project_id, budgets.budget_id
limit $5;
