-- Reads everything in one snapshot, for comparing it with the topics and with the rules.

-- name: audit_positions
select inbox_partition, next_offset from positions;

-- name: audit_rules
select id, content from rules;

-- name: audit_verdicts
-- What history has of these identities: the place of the first record, and digests of its bytes.
select company_id, project_id, source, id, type, inbox_partition, inbox_offset,
    sha256(coalesce(key, '')) as key_digest, headers, sha256(coalesce(body, '')) as body_digest, pruned
from history
join unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[])
    as asked (company_id, project_id, source, id, type)
    using (company_id, project_id, source, id, type);

-- name: audit_places
-- The offsets of one partition of the inbox that history has, in a range.
select inbox_offset from history
where inbox_partition = $1 and inbox_offset >= $2 and inbox_offset < $3
order by inbox_offset;

-- name: audit_rows
-- Everything that was to be sent to one topic.
select inbox_partition, inbox_offset, ordinal, at, company_id, project_id, budget_id, key, headers, value
from outbox
where topic = $1;

-- name: audit_rows_since
-- What one lane sends to a topic because of records from an offset on.
select inbox_partition, inbox_offset, ordinal, at, company_id, project_id, budget_id, key, headers, value
from outbox
where topic = $1 and inbox_partition = $2 and inbox_offset >= $3;

-- name: audit_old_origins
-- Which of these source records arrived before a time.
select origin_topic, origin_partition, origin_offset
from history
join unnest($1::text[], $2::integer[], $3::bigint[]) as asked (origin_topic, origin_partition, origin_offset)
    using (origin_topic, origin_partition, origin_offset)
where at < $4;

-- name: audit_projects
select distinct company_id, project_id from history order by 1, 2;

-- name: audit_history
-- The messages of some projects in the order of the log; of one lane, or of all.
select company_id, project_id, source, id, type, inbox_partition, inbox_offset, at, origin_topic, origin_partition,
    origin_offset, origin_timestamp_ms, key, headers, body, verdict, detail, rules_id, pruned
from history
join unnest($1::bigint[], $2::bigint[]) as asked (company_id, project_id) using (company_id, project_id)
where inbox_partition = $3 or $3::integer is null
order by inbox_partition, inbox_offset;

-- name: audit_effects
-- What was sent because of one project's messages.
select history.inbox_partition, history.inbox_offset, outbox.ordinal, outbox.id, outbox.topic, outbox.key,
    outbox.headers, outbox.value
from history
join outbox using (inbox_partition, inbox_offset)
where (history.company_id, history.project_id) = ($1, $2)
order by 1, 2, 3;

-- name: audit_causeless
-- Outbox rows that no message of history caused.
select inbox_partition, inbox_offset, topic
from outbox
where not exists (
    select from history
    where (history.inbox_partition, history.inbox_offset) = (outbox.inbox_partition, outbox.inbox_offset)
)
limit 100;

-- name: audit_budgets
select budget_id, state, on_hold and not is_hold_to_come(budgets.*) as on_hold, readings.content as readings
from budgets
left join readings using (company_id, project_id, budget_id)
where (company_id, project_id) = ($1, $2);

-- name: audit_holds
select inbox_partition, inbox_offset, reason, silent
from holds
where (company_id, project_id) = ($1, $2) and inbox_offset is not null;

-- name: audit_statuses
select company_id, project_id, budget_id, state, on_hold and not is_hold_to_come(budgets.*) as on_hold,
    readings.content as readings
from budgets
left join readings using (company_id, project_id, budget_id);

-- name: audit_answered
-- Acceptances, retries and drift decisions that were granted: every export and every further attempt must have one.
select company_id, project_id, budget_id, budget_version, type, headers, body, source, id, rules_id, at
from history
where type in ('approval.decision.v1', 'export.retry.v1', 'drift.decision.v1') and verdict = 'applied';

-- name: audit_pages
-- What came in of the pages of one budget's snapshots with these sources and ids; without bytes where they are pruned.
select source, id, verdict, headers, case when not pruned then body end as body
from history
join unnest($4::text[], $5::text[]) as asked (source, id) using (source, id)
where (company_id, project_id, budget_id, type) = ($1, $2, $3, 'erp.snapshot.v1');

-- name: audit_rows_at
-- Outbox rows of one lane by their places.
select topic, key, headers, value
from outbox
join unnest($2::bigint[], $3::integer[]) as asked (inbox_offset, ordinal) using (inbox_offset, ordinal)
where inbox_partition = $1
order by inbox_offset, ordinal;

-- name: audit_count_before
select count(*) from history where (company_id, project_id) = ($1, $2) and at < $3;

-- name: audit_rowless
-- Budgets that have no row although a message has changed them.
select distinct company_id, project_id, budget_id
from history
where verdict in ('applied', 'parked', 'waiting', 'held')
and not exists (
    select from budgets
    where (budgets.company_id, budgets.project_id, budgets.budget_id)
        = (history.company_id, history.project_id, history.budget_id)
)
limit 100;

-- name: audit_count_budgets
select count(*) from budgets;

-- name: read_accepted_digests
select digest from accepted_differences;

-- name: list_accepted
select accepted_at, accepted_by, why, claim, kind, company_id, project_id, budget_id, found
from accepted_differences
order by accepted_at desc, digest
limit $1;

-- name: accept_differences
insert into accepted_differences (
    digest, claim, kind, company_id, project_id, budget_id, found, accepted_by, why
)
select *, $8, $9
from unnest($1::bytea[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[])
on conflict do nothing
returning 1;
