-- Statements about the rules: which are in force, who applied which version, and what another version would change.

-- name: share_rules_in_force
-- The lock, and what is read under it. A batch does the same while it moves its position.
select rules_id, digest from share_rules_in_force();

-- name: lock_rules
-- The other side of the lock in share_rules_in_force.
select pg_advisory_xact_lock(421190072);

-- name: read_rules
select content from rules where id = $1;

-- name: keep_rules
-- The same rules get the same id. Whoever calls this holds the lock, so nobody else inserts them meanwhile.
with added as (
    insert into rules (digest, content) values ($1, $2)
    on conflict (digest) do nothing
    returning id
)
select id from added
union all
select id from rules where digest = $1;

-- name: put_rules_in_force
insert into rule_applications (rules_id, applied_by, why) values ($1, $2, $3) returning at;

-- name: list_rule_applications
select rules_id, digest, applied_by, why, at
from rule_applications
join rules on rules.id = rules_id
order by rule_applications.id desc
limit $1;

-- name: find_rule_application
select rules_id, digest, applied_by, why, at
from rule_applications
join rules on rules.id = rules_id
where $1::bigint is null or rules_id = $1
order by rule_applications.id desc
limit 1;

-- name: count_rule_applications
select count(*) from rule_applications;

-- name: list_invalid_budgets
-- INVALID budgets in the order of their keys, each with the lock of its version as it was received.
select company_id, project_id, budget_id, state, lock.*,
    (
        select other.budget_id from budgets as other
        where (other.company_id, other.project_id) = (budgets.company_id, budgets.project_id)
        and other.claims_job and other.budget_id <> budgets.budget_id
    ) as job_taken_by
from budgets
left join lateral (
    select origin_topic, origin_partition, origin_offset, origin_timestamp_ms, key, headers, body, pruned
    from history
    where (history.company_id, history.project_id, history.budget_id)
        = (budgets.company_id, budgets.project_id, budgets.budget_id)
    and type = 'budget.locked.v1' and budget_version = budgets.version and verdict = 'applied'
    order by inbox_offset desc
    limit 1
) as lock on true
where status = 'INVALID' and (company_id, project_id, budget_id) > ($1, $2, $3)
order by company_id, project_id, budget_id
limit $4;
