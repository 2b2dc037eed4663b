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

-- name: load_projects
-- Of each project the budget that claims the job, which is being exported, is synced, or may be in Spectrum (at most
-- one); and the number in the last change reference of all its budgets. A project has few budgets.
select company_id, project_id, max(budget_id) filter (where claims_job) as claimant, max(last_reference)
from budgets
join unnest($1::bigint[], $2::bigint[]) as asked (company_id, project_id) using (company_id, project_id)
group by company_id, project_id;

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

-- name: show_budget_at
-- As a lane loads it: a hold that is still to come does not count yet.
select state, revision, on_hold and not is_hold_to_come(budgets.*) as on_hold, readings.content as readings
from budgets
left join readings using (company_id, project_id, budget_id)
where (company_id, project_id, budget_id) = ($1, $2, $3);

-- name: show_received
-- The latest messages of a budget, latest first; the bytes only of what people sent, which is short: a drift decision
-- on 2,000 lines has 120,000. Thousands that are longer would take gigabytes.
select at, source, id, type, budget_version, verdict, detail, rules_id, kid, inbox_partition, inbox_offset, origin_topic,
    origin_partition, origin_offset, origin_timestamp_ms, null::bytea as key, headers,
    case when type = any($5::text[]) and octet_length(body) < 150000 then body end as body
from history
where (company_id, project_id, budget_id) = ($1, $2, $3)
order by inbox_offset desc, inbox_partition desc
limit $4;

-- name: show_caused
-- What was sent because of these records of a budget, in order; of an export its reference and attempt, which stand in
-- its first hundred bytes or so.
select outbox.inbox_partition, outbox.inbox_offset, at, id, type, topic,
    substring(encode(substring(value for 1000), 'escape') from '"change_reference":"(B[0-9]{7})"') as reference,
    substring(encode(substring(value for 1000), 'escape') from '"attempt":([0-9]{1,9})[,}]')::integer as attempt
from outbox
join unnest($4::integer[], $5::bigint[]) as caused (inbox_partition, inbox_offset)
    on (outbox.inbox_partition, outbox.inbox_offset) = (caused.inbox_partition, caused.inbox_offset)
where (company_id, project_id, budget_id) = ($1, $2, $3)
order by inbox_offset, inbox_partition, ordinal;

-- name: count_received
select count(*) as messages, count(*) filter (where verdict = 'held') as held
from history
where (company_id, project_id, budget_id) = ($1, $2, $3);

-- name: list_versions
-- The versions of a budget that were locked, latest first, each with what became of its last lock.
select distinct on (budget_version) budget_version, at, verdict, detail
from history
where (company_id, project_id, budget_id) = ($1, $2, $3) and type = 'budget.locked.v1'
order by budget_version desc, inbox_offset desc
limit $4;

-- name: find_last_request
-- The last request for the approval of a version, as it was sent; its version stands in its first hundred bytes or so.
select at, value
from outbox
where (company_id, project_id, budget_id) = ($1, $2, $3) and type = 'approval.requested.v1'
and encode(substring(value for 300), 'escape') ~ ('"budget_version":' || $4::bigint || '[,}]')
order by inbox_offset desc, ordinal desc
limit 1;

-- name: list_people_messages
-- What people decided and commanded, latest first; the condition is that of the index.
select at, source, id, type, budget_version, verdict, detail, rules_id, kid, inbox_partition, inbox_offset, origin_topic,
    origin_partition, origin_offset, origin_timestamp_ms, null::bytea as key, headers,
    case when octet_length(body) < 150000 then body end as body, company_id, project_id, budget_id
from history
where (type in ('approval.decision.v1', 'drift.decision.v1', 'import.requested.v1', 'export.retry.v1',
                'snapshot.request.v1', 'budget.release.v1', 'budget.reset.v1', 'budget.retrieved.v1')
    or source in ('budget-bridge/operator', 'budget-bridge/desk'))
and (company_id = any($1::bigint[]) or (company_id, project_id) in (select * from unnest($2::bigint[], $3::bigint[])))
and ($4::timestamptz is null or (at, inbox_partition, inbox_offset) < ($4, $5::integer, $6::bigint))
order by at desc, inbox_partition desc, inbox_offset desc
limit $7;

-- name: find_rows
-- The rows of lists of these budgets.
select company_id, project_id, budget_id, status, version, since, overdue, on_hold, parked, waiting_version,
    company_code, job_number, attempt, read_back, drift_amount
from budgets
join unnest($1::bigint[], $2::bigint[], $3::bigint[]) as asked (company_id, project_id, budget_id)
    using (company_id, project_id, budget_id);

-- name: list_rows_of_status
select company_id, project_id, budget_id, status, version, since, overdue, on_hold, parked, waiting_version,
    company_code, job_number, attempt, read_back, drift_amount
from budgets
where status = $4
and (company_id = any($1::bigint[]) or (company_id, project_id) in (select * from unnest($2::bigint[], $3::bigint[])))
and (company_id, project_id, budget_id) > ($5, $6, $7)
order by company_id, project_id, budget_id
limit $8;

-- name: list_noticed_rows
-- Budgets that are overdue, on hold, or have something parked or waiting; the condition is that of an index.
select company_id, project_id, budget_id, status, version, since, overdue, on_hold, parked, waiting_version,
    company_code, job_number, attempt, read_back, drift_amount
from budgets
where (overdue or on_hold or parked_due_at is not null or waiting_version is not null)
and case $4::text when 'overdue' then overdue when 'on_hold' then on_hold when 'parked' then parked > 0
    else waiting_version is not null end
and (company_id = any($1::bigint[]) or (company_id, project_id) in (select * from unnest($2::bigint[], $3::bigint[])))
and (company_id, project_id, budget_id) > ($5, $6, $7)
order by company_id, project_id, budget_id
limit $8;

-- name: list_differing_rows
-- Budgets that do not match what Spectrum was read to hold; the condition is that of an index.
select company_id, project_id, budget_id, status, version, since, overdue, on_hold, parked, waiting_version,
    company_code, job_number, attempt, read_back, drift_amount
from budgets
where read_back in ('differs', 'stale', 'unknown') and read_back = $4
and (company_id = any($1::bigint[]) or (company_id, project_id) in (select * from unnest($2::bigint[], $3::bigint[])))
and (company_id, project_id, budget_id) > ($5, $6, $7)
order by company_id, project_id, budget_id
limit $8;

-- name: list_rows_of_projects
-- The budgets of some projects, which have few each.
select company_id, project_id, budget_id, status, version, since, overdue, on_hold, parked, waiting_version,
    company_code, job_number, attempt, read_back, drift_amount
from budgets
where (company_id = any($1::bigint[]) or (company_id, project_id) in (select * from unnest($2::bigint[], $3::bigint[])))
and (company_id, project_id) in (select * from unnest($4::bigint[], $5::bigint[]))
order by company_id, project_id, budget_id
limit $6;

-- name: find_keys
-- Budgets by a number of their key, by the job that Spectrum may hold them in, or by their last export: each by an index.
select company_id, project_id, budget_id
from (
    select company_id, project_id, budget_id from budgets
    where company_id = any($1::bigint[] || $2::bigint[]) and project_id = $4
    union
    select company_id, project_id, budget_id from budgets where budget_id = $4
    union
    select company_id, project_id, budget_id from budgets where company_code = any($8::text[]) and job_number = $5
    union
    select company_id, project_id, budget_id from budgets where export_id = $6
) as found
where (company_id = any($1::bigint[]) or (company_id, project_id) in (select * from unnest($2::bigint[], $3::bigint[])))
order by company_id, project_id, budget_id
limit $7;

-- name: find_keys_of_reference
-- Budgets of these projects that have sent an export under a change reference.
select distinct company_id, project_id, budget_id
from outbox
where (company_id = any($1::bigint[]) or (company_id, project_id) in (select * from unnest($2::bigint[], $3::bigint[])))
and (company_id, project_id) in (select * from unnest($4::bigint[], $5::bigint[]))
and type in ('spectrum.export.v1', 'spectrum.resync.v1')
and encode(substring(value for 1000), 'escape') ~ ('"change_reference":"' || $6 || '"')
limit $7;

-- name: list_dead_letters_page
-- Dead letters after one of them, latest first and without their bytes. $10: also those whose budget is not known.
select * from find_dead_letters($1, $2, $3, $4, $5)
where ($6::text is null or reason = $6)
and (company_id = any($7::bigint[]) or (company_id, project_id) in (select * from unnest($8::bigint[], $9::bigint[]))
    or ($10 and budget_id is null))
and ($11::timestamptz is null or at < $11 or (at = $11 and (inbox_partition, -inbox_offset, ordinal)
    > ($12::integer, -$13::bigint, $14::integer)))
order by at desc, inbox_partition, inbox_offset desc, ordinal
limit $15;

-- name: find_message
-- One message by its own identity or, where nobody has proven it, at the place that its sender was given ($5 to $8).
(
    select at, source, id, type, budget_version, verdict, detail, rules_id, kid, inbox_partition, inbox_offset, origin_topic,
        origin_partition, origin_offset, origin_timestamp_ms, null::bytea as key, headers,
        case when octet_length(body) < 1000000 then body end as body, company_id, project_id, budget_id
    from history
    where (company_id, project_id, source, id) = ($1, $2, $3, $4) and type <> ''
    order by inbox_offset
    limit 1
)
union all
(
    select at, source, id, type, budget_version, verdict, detail, rules_id, kid, inbox_partition, inbox_offset, origin_topic,
        origin_partition, origin_offset, origin_timestamp_ms, null::bytea as key, headers,
        case when octet_length(body) < 1000000 then body end as body, company_id, project_id, budget_id
    from history
    where (company_id, project_id, budget_id) = ($1, $2, $5)
    and (origin_topic, origin_partition, origin_offset) = ($6, $7, $8) and type = ''
    order by inbox_offset desc
    limit 1
)
limit 1;

-- name: find_verdicts
-- What became of these messages of one source, by project and id.
select company_id, project_id, id, verdict, detail
from history
join unnest($2::bigint[], $3::bigint[], $4::text[]) as asked (company_id, project_id, id)
    using (company_id, project_id, id)
where source = $1 and type <> '';
