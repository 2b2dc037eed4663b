-- Statements of reports on budgets and dead letters.

-- name: count_statuses
-- The number of budgets of each status, since when the oldest has had it, and how many of them wait for somebody. The
-- first part reads an index only, the second those few budgets.
with counted as (
    select status, count(*) as budgets, min(since) as oldest
    from budgets
    group by status
), noticed as (
    select status, count(*) filter (where overdue) as overdue, count(*) filter (where on_hold) as on_hold,
        sum(parked) as parked, count(waiting_version) as waiting, min(since) filter (where overdue) as oldest_overdue
    from budgets
    where overdue or on_hold or parked_due_at is not null or waiting_version is not null
    group by status
)
select coalesce(counted.status, 'none yet') as status, budgets, oldest, coalesce(overdue, 0) as overdue,
    coalesce(on_hold, 0) as on_hold, coalesce(parked, 0) as parked, coalesce(waiting, 0) as waiting, oldest_overdue
from counted
left join noticed on counted.status is not distinct from noticed.status
order by counted.status;

-- name: count_read_back
-- How many budgets differ in Spectrum, and since when the one that was read longest ago has not been read.
select (
        select count(*) from budgets
        where read_back in ('differs', 'stale', 'unknown') and drift_amount > 0
    ) as differ,
    (select min(read_since) from budgets where read_since is not null) as read_since;

-- name: count_read_back_states
-- How many budgets compare in which way with what Spectrum was read to hold, but for those that match.
select read_back, count(*) as budgets, min(read_since) as read_since
from budgets
where read_back in ('differs', 'stale', 'unknown')
group by read_back
union all
select 'never', count(*), min(read_since)
from budgets
where read_back = 'never' and read_since is not null
having count(*) > 0
order by 1;

-- name: count_never_read
-- The budgets that were never read, although Spectrum has held something of them for a while.
select count(*) as budgets, min(read_since) as read_since
from budgets
where read_back = 'never' and read_since < now() - $1::interval;

-- name: list_drift
-- The budgets that differ in Spectrum, the worst first, then those of which nothing certain is known.
select company_id, project_id, budget_id, state, on_hold
from budgets
where read_back in ('differs', 'stale', 'unknown')
order by drift_amount desc, read_since
limit $1;

-- name: list_waiting
-- The budgets that have waited longest for a person: held, overdue, failed, pending, in this order.
select company_id, project_id, budget_id, status, version, since,
    case when on_hold then 'on hold' when overdue then 'overdue' when status = 'EXPORT_FAILED' then 'failed'
        else 'pending approval' end as why
from budgets
where on_hold or overdue or status in ('EXPORT_FAILED', 'PENDING_APPROVAL')
order by on_hold desc, overdue desc, status, since
limit $1;

-- name: list_budgets
-- The budgets of one status after a key and in the order of their keys.
select company_id, project_id, budget_id, state, on_hold from budgets
where status = $1 and (company_id, project_id, budget_id) > ($2, $3, $4)
order by company_id, project_id, budget_id
limit $5;

-- name: list_held_budgets
-- The budgets on hold by key from one on; a hold that is still to come counts.
select company_id, project_id, budget_id, state, on_hold from budgets
where on_hold and (company_id, project_id, budget_id) > ($1, $2, $3)
order by company_id, project_id, budget_id
limit $4;

-- name: count_budgets
select count(*) from budgets where status = $1;

-- name: count_held_budgets
select count(*) from budgets where on_hold;

-- name: show_budget
select state, on_hold, readings.content as readings
from budgets
left join readings using (company_id, project_id, budget_id)
where (company_id, project_id, budget_id) = ($1, $2, $3);

-- name: show_history
-- The latest messages of a budget, in the order of the log.
select at, source, id, type, budget_version, verdict, detail, rules_id, kid,
    case when type = '' then headers end as headers
from (
    select * from history
    where (company_id, project_id, budget_id) = ($1, $2, $3)
    order by inbox_offset desc, inbox_partition desc
    limit $4
) as latest
order by inbox_offset, inbox_partition;

-- name: count_shown
-- The total numbers of messages received and sent for a budget.
select (select count(*) from history where (company_id, project_id, budget_id) = ($1, $2, $3)) as messages,
    (select count(*) from outbox where (company_id, project_id, budget_id) = ($1, $2, $3)) as sent,
    (select count(*) from history where (company_id, project_id, budget_id) = ($1, $2, $3) and verdict = 'held') as held,
    (select count(*) from holds where (company_id, project_id, budget_id) = ($1, $2, $3)) as holds;

-- name: show_verdict
-- The verdict on one message of a budget, by its place; one that nobody has proven is kept under no id of its own.
select verdict, detail
from history
where (company_id, project_id, budget_id) = ($1, $2, $3)
and (origin_topic, origin_partition, origin_offset) = ($4, $5, $6) and (id = $7 or type = '')
order by inbox_offset desc
limit 1;

-- name: show_holds
-- Why a budget is on hold, or will be with its next message: one that is to come first, then the latest.
select reason, inbox_offset is null as to_come
from holds
where (company_id, project_id, budget_id) = ($1, $2, $3)
order by inbox_offset is null desc, id desc
limit $4;

-- name: show_sent
-- The latest messages sent for a budget, in the order in which they were sent.
select at, id, type, topic, inbox_partition, inbox_offset, key, headers
from (
    select * from outbox
    where (company_id, project_id, budget_id) = ($1, $2, $3)
    order by inbox_offset desc, ordinal desc, inbox_partition desc
    limit $4
) as latest
order by inbox_offset, inbox_partition, ordinal;

-- name: read_pruned_before
-- Bytes of history and outbox rows of messages that arrived before this time may be deleted; null if none are.
select pruned_before from deployment;

-- name: list_dead_letters
-- Dead letters, latest first and without their bytes.
select * from find_dead_letters($1, $2, $3, $4, $5)
where ($6::text is null or reason = $6)
order by at desc, inbox_partition, inbox_offset desc, ordinal
limit $7;

-- name: count_dead_letters
-- The number of dead letters by reason.
select reason, count(*) as letters, min(at) as first_at, max(at) as last_at
from find_dead_letters($1, $2, $3, $4, $5)
where ($6::text is null or reason = $6)
group by reason
order by reason;

-- name: find_dead_letter
-- Where the dead letter with this id is.
select inbox_partition, inbox_offset from outbox where type is null and topic = $1 and id = $2;

-- name: show_dead_letter
-- One dead letter: the record with its bytes as they were received, and the headers with the reason.
select outbox.id, outbox.at, outbox.headers as letter_headers, history.company_id, history.project_id, history.budget_id,
    history.id as message_id, history.origin_topic, history.origin_partition, history.origin_offset,
    outbox.inbox_partition, outbox.inbox_offset, history.key, history.headers, history.body
from outbox
join history on (history.inbox_partition, history.inbox_offset) = (
    coalesce(outbox.dead_letter_of_partition, outbox.inbox_partition),
    coalesce(outbox.dead_letter_of_offset, outbox.inbox_offset)
)
where outbox.topic = $1 and outbox.id = $2 and (outbox.inbox_partition, outbox.inbox_offset) = ($3, $4);
