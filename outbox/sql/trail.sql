-- Reads what an auditor is given: messages and what was sent because of them, in the order of the log.

-- name: trail_deployment
select id, group_id, inbox, pruned_before, now() as read_at from deployment;

-- name: trail_received_of_budget
select inbox_partition, inbox_offset, at, company_id, project_id, budget_id, budget_version, source, id, type,
    origin_topic, origin_partition, origin_offset, origin_timestamp_ms, key, headers, body, verdict, detail, rules_id,
    kid, pruned
from history
where (company_id, project_id, budget_id) = ($1, $2, $3)
order by inbox_partition, inbox_offset;

-- name: trail_received_between
-- Reads the whole table by its places: times need not rise along a partition.
select inbox_partition, inbox_offset, at, company_id, project_id, budget_id, budget_version, source, id, type,
    origin_topic, origin_partition, origin_offset, origin_timestamp_ms, key, headers, body, verdict, detail, rules_id,
    kid, pruned
from history
where at >= $1 and ($2::timestamptz is null or at < $2)
order by inbox_partition, inbox_offset;

-- name: trail_sent_of_budget
select inbox_partition, inbox_offset, ordinal, at, company_id, project_id, budget_id, id, type, topic, key, headers,
    value
from outbox
where (company_id, project_id, budget_id) = ($1, $2, $3)
order by inbox_partition, inbox_offset, ordinal;

-- name: trail_sent_between
select inbox_partition, inbox_offset, ordinal, at, company_id, project_id, budget_id, id, type, topic, key, headers,
    value
from outbox
where at >= $1 and ($2::timestamptz is null or at < $2)
order by inbox_partition, inbox_offset, ordinal;

-- name: trail_rules
-- A version of the rules, and each time that it was put in force.
select rules.digest, applied_by, why, at
from rules
left join rule_applications on rule_applications.rules_id = rules.id
where rules.id = $1
order by rule_applications.id;
