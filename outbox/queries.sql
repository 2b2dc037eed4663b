-- Every statement of the bridge, by name. Each is one round trip; arrays carry a whole batch.

-- name: read_deployment
select id from deployment;

-- name: fix_inbox_partitions
-- The number is written once; whoever comes later reads what was written.
update deployment set inbox_partitions = coalesce(inbox_partitions, $1) returning inbox_partitions;

-- name: take_position
-- Waits out whoever is still inside a transaction on it, and fences him from then on.
update positions set owner = $2 where inbox_partition = $1
returning next_offset, last_offset, last_timestamp_ms, last_hash;

-- name: start_position
insert into positions (inbox_partition, next_offset, owner) values ($1, $2, $3);

-- name: move_position
update positions
set next_offset = $4, last_offset = $5, last_timestamp_ms = $6, last_hash = $7
where inbox_partition = $1 and next_offset = $2 and owner = $3;

-- name: find_known
-- Which identities history has already.
select company_id, project_id, source, id
from history
join unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) as asked (company_id, project_id, source, id)
    using (company_id, project_id, source, id);

-- name: load_budgets
select state, revision
from budgets
join unnest($1::bigint[], $2::bigint[], $3::bigint[]) as asked (company_id, project_id, budget_id)
    using (company_id, project_id, budget_id);

-- name: load_claims
-- Which budget of each project is under way, synced or in Spectrum: at most one.
select company_id, project_id, budget_id
from budgets
join unnest($1::bigint[], $2::bigint[]) as asked (company_id, project_id) using (company_id, project_id)
where claims_job;

-- name: load_held_messages
-- What is held of a budget, in order; also from before the inbox was made anew.
select origin_topic, origin_partition, origin_offset, origin_timestamp_ms, key, headers, body
from history
where (company_id, project_id, budget_id) = ($1, $2, $3) and verdict = 'held'
order by inbox_offset;

-- name: add_history
insert into history (
    company_id, project_id, source, id, inbox_partition, inbox_offset, at, origin_topic, origin_partition,
    origin_offset, origin_timestamp_ms, type, budget_id, budget_version, key, headers, body, verdict, detail, rules_id
)
select * from unnest(
    $1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::integer[], $6::bigint[], $7::timestamptz[], $8::text[],
    $9::integer[], $10::bigint[], $11::bigint[], $12::text[], $13::bigint[], $14::integer[], $15::bytea[],
    $16::json[], $17::bytea[], $18::text[], $19::text[], $20::bigint[]
);

-- name: resolve_history
-- Only parked, waiting and held give way to what became of a message.
update history set verdict = asked.verdict, detail = asked.detail
from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[])
    as asked (company_id, project_id, source, id, verdict, detail)
where (history.company_id, history.project_id, history.source, history.id)
    = (asked.company_id, asked.project_id, asked.source, asked.id)
and history.verdict in ('parked', 'waiting', 'held');

-- name: add_budgets
insert into budgets (
    company_id, project_id, budget_id, revision, inbox_partition, status, version, since, content_hash, export_id,
    attempt, synced_version, waiting_version, acknowledgement_due_at, overdue, on_hold, parked, parked_due_at,
    parked_due_version, company_code, job_number, claims_job, sequence, state
)
select company_id, project_id, budget_id, revision + 1, inbox_partition, status, version, since, content_hash,
    export_id, attempt, synced_version, waiting_version, acknowledgement_due_at, overdue, on_hold, parked,
    parked_due_at, parked_due_version, company_code, job_number, claims_job, sequence, state
from unnest(
    $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::text[], $7::integer[],
    $8::timestamptz[], $9::text[], $10::uuid[], $11::integer[], $12::integer[], $13::integer[], $14::timestamptz[],
    $15::boolean[], $16::boolean[], $17::integer[], $18::timestamptz[], $19::integer[], $20::text[], $21::text[],
    $22::boolean[], $23::bigint[], $24::json[]
) as given (
    company_id, project_id, budget_id, revision, inbox_partition, status, version, since, content_hash, export_id,
    attempt, synced_version, waiting_version, acknowledgement_due_at, overdue, on_hold, parked, parked_due_at,
    parked_due_version, company_code, job_number, claims_job, sequence, state
);

-- name: change_budgets
-- On condition of the revision that was loaded: whoever finds another one has lost his position.
update budgets set
    revision = given.revision + 1, inbox_partition = given.inbox_partition, status = given.status,
    version = given.version, since = given.since, content_hash = given.content_hash, export_id = given.export_id,
    attempt = given.attempt, synced_version = given.synced_version, waiting_version = given.waiting_version,
    acknowledgement_due_at = given.acknowledgement_due_at, overdue = given.overdue, on_hold = given.on_hold,
    parked = given.parked, parked_due_at = given.parked_due_at, parked_due_version = given.parked_due_version,
    company_code = given.company_code, job_number = given.job_number, claims_job = given.claims_job,
    sequence = given.sequence, state = given.state
from unnest(
    $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::text[], $7::integer[],
    $8::timestamptz[], $9::text[], $10::uuid[], $11::integer[], $12::integer[], $13::integer[], $14::timestamptz[],
    $15::boolean[], $16::boolean[], $17::integer[], $18::timestamptz[], $19::integer[], $20::text[], $21::text[],
    $22::boolean[], $23::bigint[], $24::json[]
) as given (
    company_id, project_id, budget_id, revision, inbox_partition, status, version, since, content_hash, export_id,
    attempt, synced_version, waiting_version, acknowledgement_due_at, overdue, on_hold, parked, parked_due_at,
    parked_due_version, company_code, job_number, claims_job, sequence, state
)
where (budgets.company_id, budgets.project_id, budgets.budget_id)
    = (given.company_id, given.project_id, given.budget_id)
and budgets.revision = given.revision;

-- name: add_outbox
insert into outbox (
    inbox_partition, inbox_offset, ordinal, id, at, topic, type, company_id, project_id, budget_id, key, headers, value
)
select * from unnest(
    $1::integer[], $2::bigint[], $3::integer[], $4::uuid[], $5::timestamptz[], $6::text[], $7::text[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bytea[], $12::json[], $13::bytea[]
);

-- name: add_holds
-- A hold that was to come now has its place; one that nobody announced is added.
with come as (
    update holds set inbox_offset = given.inbox_offset
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::integer[], $6::bigint[])
        as given (company_id, project_id, budget_id, reason, inbox_partition, inbox_offset)
    where (holds.company_id, holds.project_id, holds.budget_id)
        = (given.company_id, given.project_id, given.budget_id)
    and holds.inbox_offset is null and holds.reason = given.reason
    returning holds.company_id, holds.project_id, holds.budget_id
)
insert into holds (company_id, project_id, budget_id, reason, inbox_partition, inbox_offset)
select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::integer[], $6::bigint[])
    as given (company_id, project_id, budget_id, reason, inbox_partition, inbox_offset)
where (company_id, project_id, budget_id) not in (select * from come);

-- name: find_holds_to_come
select company_id, project_id, budget_id, reason from holds where inbox_partition = $1 and inbox_offset is null;

-- name: read_outbox
-- What one lane sends because of records from an offset on, in order.
select inbox_offset, topic, key, headers, value
from outbox
where inbox_partition = $1 and inbox_offset >= $2 and inbox_offset < $3
order by inbox_offset, ordinal
limit $4;

-- name: find_due
-- Which budgets of these lanes have something due, with the earliest due time of each kind.
select 'acknowledgement' as deadline, company_id, project_id, budget_id, version, acknowledgement_due_at as due_at
from budgets where inbox_partition = any($1::integer[]) and acknowledgement_due_at <= now()
union all
select 'parked', company_id, project_id, budget_id, parked_due_version, parked_due_at
from budgets where inbox_partition = any($1::integer[]) and parked_due_at <= now()
limit 1000;

-- name: find_held_jobs
-- Where Spectrum may hold something, and of which project.
select company_id, project_id, budget_id, company_code, job_number from budgets where job_number is not null;

-- name: show_budget
select state, on_hold from budgets where (company_id, project_id, budget_id) = ($1, $2, $3);

-- name: show_history
-- The latest messages of a budget, in the order of the log.
select at, source, id, type, budget_version, verdict, detail, rules_id
from (
    select * from history
    where (company_id, project_id, budget_id) = ($1, $2, $3)
    order by inbox_partition desc, inbox_offset desc
    limit $4
) as latest
order by inbox_partition, inbox_offset;

-- name: count_shown
-- How much there is of a budget in all.
select (select count(*) from history where (company_id, project_id, budget_id) = ($1, $2, $3)) as messages,
    (select count(*) from outbox where (company_id, project_id, budget_id) = ($1, $2, $3)) as sent;

-- name: show_verdict
-- What became of one message.
select verdict, detail from history where (company_id, project_id, source, id) = ($1, $2, $3, $4);

-- name: show_acknowledgement
-- The bytes of the last answer that counted for a budget.
select body from history
where (company_id, project_id, budget_id) = ($1, $2, $3) and type = $4 and verdict = 'applied'
order by inbox_partition desc, inbox_offset desc
limit 1;

-- name: show_holds
-- Why a budget is on hold, or will be with its next message: latest first.
select reason, inbox_offset is null as to_come
from holds
where (company_id, project_id, budget_id) = ($1, $2, $3)
order by id desc;

-- name: show_sent
-- What was sent last for a budget, in the order in which it was sent.
select at, id, type, topic, inbox_partition, inbox_offset, key, headers
from (
    select * from outbox
    where (company_id, project_id, budget_id) = ($1, $2, $3)
    order by inbox_partition desc, inbox_offset desc, ordinal desc
    limit $4
) as latest
order by inbox_partition, inbox_offset, ordinal;

-- What follows is for reading everything in one snapshot, to be compared with the logs.

-- name: read_pruned_before
-- Of what came in before this time, bytes of history and rows of the outbox may be gone; null where none are.
select pruned_before from deployment;

-- name: audit_positions
select inbox_partition, next_offset from positions;

-- name: audit_rules
select id, content from rules;

-- name: audit_verdicts
-- What history has of these identities: where it stood, and its bytes by digest.
select company_id, project_id, source, id, inbox_partition, inbox_offset,
    sha256(coalesce(key, '')) as key_digest, headers, sha256(coalesce(body, '')) as body_digest, pruned
from history
join unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[]) as asked (company_id, project_id, source, id)
    using (company_id, project_id, source, id);

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

-- name: audit_rows_at
-- Rows of one lane by their places.
select topic, key, headers, value
from outbox
join unnest($2::bigint[], $3::integer[]) as asked (inbox_offset, ordinal) using (inbox_offset, ordinal)
where inbox_partition = $1
order by inbox_offset, ordinal;

-- name: audit_old_origins
-- Which of these records of the sources came in before a time.
select origin_topic, origin_partition, origin_offset
from history
join unnest($1::text[], $2::integer[], $3::bigint[]) as asked (origin_topic, origin_partition, origin_offset)
    using (origin_topic, origin_partition, origin_offset)
where at < $4;

-- name: audit_projects
select distinct company_id, project_id from history order by 1, 2;

-- name: audit_count_before
select count(*) from history where (company_id, project_id) = ($1, $2) and at < $3;

-- name: audit_history
-- The messages of some projects in the order of the log; of one lane, or of all.
select company_id, project_id, source, id, inbox_partition, inbox_offset, at, origin_topic, origin_partition,
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
-- What would be sent because of nothing.
select inbox_partition, inbox_offset, topic
from outbox
where not exists (
    select from history
    where (history.inbox_partition, history.inbox_offset) = (outbox.inbox_partition, outbox.inbox_offset)
)
limit 100;

-- name: audit_rowless
-- Budgets that a message has changed and that have no row.
select distinct company_id, project_id, budget_id
from history
where verdict in ('applied', 'parked', 'waiting', 'held')
and not exists (
    select from budgets
    where (budgets.company_id, budgets.project_id, budgets.budget_id)
        = (history.company_id, history.project_id, history.budget_id)
)
limit 100;

-- name: audit_budgets
select budget_id, state from budgets where (company_id, project_id) = ($1, $2);

-- name: audit_holds
select inbox_partition, inbox_offset, reason
from holds
where (company_id, project_id) = ($1, $2) and inbox_offset is not null;

-- name: audit_statuses
select company_id, project_id, budget_id, state from budgets;

-- name: audit_count_budgets
select count(*) from budgets;

-- name: audit_answered
-- Acceptances and retries that were granted: what an export or its next attempt must answer to.
select company_id, project_id, budget_id, budget_version, type, headers, body
from history
where type in ('approval.decision.v1', 'export.retry.v1') and verdict = 'applied';

-- What follows is for recovering after something outside was restored, lost or made anew.

-- name: read_positions
select inbox_partition, next_offset, owner, last_offset, last_timestamp_ms, last_hash from positions;

-- name: read_inbox_partitions
select inbox_partitions from deployment;

-- name: put_position
-- Where a lane begins, whatever was there before.
insert into positions (inbox_partition, next_offset, owner) values ($1, $2, $3)
on conflict (inbox_partition) do update
set next_offset = excluded.next_offset, owner = excluded.owner,
    last_offset = null, last_timestamp_ms = null, last_hash = null;

-- name: shift_history
-- Offsets of a log that is gone make room: 2^50 lower, still in their order, and before those of the new log.
update history set inbox_offset = inbox_offset - 1125899906842624 where inbox_partition = $1;

-- name: shift_outbox
update outbox set inbox_offset = inbox_offset - 1125899906842624 where inbox_partition = $1;

-- name: shift_holds
update holds set inbox_offset = inbox_offset - 1125899906842624 where inbox_partition = $1;

-- name: add_holds_to_come
-- Budgets that are on hold already stay as they are; the others count as on hold from here on, also in the lists.
with given as (
    select company_id, project_id, budget_id, reason, inbox_partition
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::integer[])
        as given (company_id, project_id, budget_id, reason, inbox_partition)
    where not exists (
        select from budgets
        where (budgets.company_id, budgets.project_id, budgets.budget_id)
            = (given.company_id, given.project_id, given.budget_id) and budgets.on_hold
    )
), shown as (
    update budgets set on_hold = true from given
    where (budgets.company_id, budgets.project_id, budgets.budget_id)
        = (given.company_id, given.project_id, given.budget_id)
)
insert into holds (company_id, project_id, budget_id, reason, inbox_partition)
select * from given
on conflict do nothing;

-- name: show_holds_to_come
-- A budget that is held from its next message on counts as on hold.
update budgets set on_hold = true from holds
where (budgets.company_id, budgets.project_id, budgets.budget_id)
    = (holds.company_id, holds.project_id, holds.budget_id) and holds.inbox_offset is null;

-- name: read_revisions
select company_id, project_id, budget_id, revision
from budgets
join unnest($1::bigint[], $2::bigint[], $3::bigint[]) as asked (company_id, project_id, budget_id)
    using (company_id, project_id, budget_id);

-- name: read_held
-- Budgets on hold, or held from their next message on.
select company_id, project_id, budget_id from budgets where on_hold
union
select company_id, project_id, budget_id from holds where inbox_offset is null;

-- name: list_dead_letters
-- Records that were set aside, latest first and without their bytes.
with letters as (
    -- Our headers come after those of the record, so the last match is ours; quotes in a value are escaped.
    select outbox.id, outbox.at, outbox.inbox_partition, outbox.inbox_offset, outbox.ordinal,
        substring(outbox.headers::text from '.*\["dead_letter_reason", "([a-z_]+)"\]') as reason, history.detail,
        history.company_id, history.project_id, history.budget_id, history.id as message_id,
        history.origin_topic, history.origin_partition, history.origin_offset
    from outbox
    join history using (inbox_partition, inbox_offset)
    where outbox.topic = $1
    and ($2::timestamptz is null or outbox.at >= $2)
    and ($3::bigint is null or (history.company_id, history.project_id, history.budget_id) = ($3, $4, $5)
        or (history.budget_id is null and (history.key = convert_to(concat_ws('/', $3, $4, $5), 'UTF8')
            -- As text whatever the bytes, and only where such a record names its budget: near its start.
            or (encode(substring(history.body for 65536), 'escape') ~ ('"company_id"\s*:\s*"?' || $3 || '[^0-9]')
                and encode(substring(history.body for 65536), 'escape') ~ ('"project_id"\s*:\s*"?' || $4 || '[^0-9]')
                and encode(substring(history.body for 65536), 'escape') ~ ('"budget_id"\s*:\s*"?' || $5 || '[^0-9]')))))
)
select * from letters
where ($6::text is null or reason = $6)
order by at desc, inbox_partition, inbox_offset desc, ordinal
limit $7;

-- name: count_dead_letters
-- How many were set aside for which reason.
with letters as (
    -- Our headers come after those of the record, so the last match is ours; quotes in a value are escaped.
    select outbox.id, outbox.at, outbox.inbox_partition, outbox.inbox_offset, outbox.ordinal,
        substring(outbox.headers::text from '.*\["dead_letter_reason", "([a-z_]+)"\]') as reason, history.detail,
        history.company_id, history.project_id, history.budget_id, history.id as message_id,
        history.origin_topic, history.origin_partition, history.origin_offset
    from outbox
    join history using (inbox_partition, inbox_offset)
    where outbox.topic = $1
    and ($2::timestamptz is null or outbox.at >= $2)
    and ($3::bigint is null or (history.company_id, history.project_id, history.budget_id) = ($3, $4, $5)
        or (history.budget_id is null and (history.key = convert_to(concat_ws('/', $3, $4, $5), 'UTF8')
            -- As text whatever the bytes, and only where such a record names its budget: near its start.
            or (encode(substring(history.body for 65536), 'escape') ~ ('"company_id"\s*:\s*"?' || $3 || '[^0-9]')
                and encode(substring(history.body for 65536), 'escape') ~ ('"project_id"\s*:\s*"?' || $4 || '[^0-9]')
                and encode(substring(history.body for 65536), 'escape') ~ ('"budget_id"\s*:\s*"?' || $5 || '[^0-9]')))))
)
select reason, count(*) as letters, min(at) as first_at, max(at) as last_at from letters
where ($6::text is null or reason = $6)
group by reason
order by reason;

-- name: find_dead_letter
-- Where the dead letter with this id is.
select inbox_partition, inbox_offset from outbox where topic = $1 and id = $2;

-- name: show_dead_letter
-- One record that was set aside, with its bytes as they came in and the row that says why.
select outbox.id, outbox.at, outbox.headers as told, history.company_id, history.project_id, history.budget_id,
    history.id as message_id, history.origin_topic, history.origin_partition, history.origin_offset,
    history.inbox_partition, history.inbox_offset, history.key, history.headers, history.body
from outbox
join history using (inbox_partition, inbox_offset)
where outbox.topic = $1 and outbox.id = $2 and (outbox.inbox_partition, outbox.inbox_offset) = ($3, $4);

-- name: list_budgets
-- The budgets of one status, or on hold, by key from one on.
select company_id, project_id, budget_id, state from budgets
where (($1 = 'ON_HOLD' and (on_hold or exists (
        select from holds where inbox_offset is null
        and (holds.company_id, holds.project_id, holds.budget_id)
            = (budgets.company_id, budgets.project_id, budgets.budget_id)))) or status = $1)
and (company_id, project_id, budget_id) > ($2, $3, $4)
order by company_id, project_id, budget_id
limit $5;

-- name: count_budgets
select count(*) from budgets
where ($1 = 'ON_HOLD' and (on_hold or exists (
        select from holds where inbox_offset is null
        and (holds.company_id, holds.project_id, holds.budget_id)
            = (budgets.company_id, budgets.project_id, budgets.budget_id)))) or status = $1;

-- name: count_statuses
-- How many budgets stand where, since when the longest does, and how many of them wait for somebody.
select coalesce(status, 'none yet') as status, count(*) as budgets, min(since) as oldest,
    count(*) filter (where overdue) as overdue, count(*) filter (where on_hold) as on_hold,
    sum(parked) as parked, count(waiting_version) as waiting, min(since) filter (where overdue) as oldest_overdue
from budgets
group by status
order by status;

-- name: list_waiting
-- The budgets that have waited longest for a person: held, overdue, failed, pending, in this order.
select company_id, project_id, budget_id, status, version, since,
    case when on_hold then 'on hold' when overdue then 'overdue' when status = 'EXPORT_FAILED' then 'failed'
        else 'pending approval' end as why
from budgets
where on_hold or overdue or status in ('EXPORT_FAILED', 'PENDING_APPROVAL')
order by on_hold desc, overdue desc, status, since
limit $1;

-- What follows is for pruning, lane by lane from its oldest record on. Both stop at the first that is not old enough,
-- so that no row of the outbox is left whose message has lost its bytes.

-- name: lock_pruning
-- One prune at a time, and none beside a recovery. Any number that nothing else uses as an advisory lock.
select pg_try_advisory_lock(421190072);

-- name: lock_out_pruning
-- A recovery may move offsets back; what is pruned goes by where they are.
select pg_try_advisory_xact_lock_shared(421190072);

-- name: find_cutoff
select now() - $1::interval;

-- name: find_old_rows
-- Of a lane's next rows of the outbox below its published offset, those before a time.
select inbox_offset, ordinal
from (
    select inbox_offset, ordinal, bool_and(at < $5) over (order by inbox_offset, ordinal) as is_old
    from (
        select inbox_offset, ordinal, at
        from outbox
        where inbox_partition = $1 and (inbox_offset, ordinal) > ($2, $3) and inbox_offset < $4
        order by inbox_offset, ordinal
        limit $6
    ) as next
) as looked_at
where is_old
order by inbox_offset, ordinal;

-- name: drop_rows
delete from outbox
using unnest($2::bigint[], $3::integer[]) as old (inbox_offset, ordinal)
where outbox.inbox_partition = $1
and (outbox.inbox_offset, outbox.ordinal) = (old.inbox_offset, old.ordinal);

-- name: find_old_messages
-- Of a lane's next messages below its published offset, those before a time; and which of them may lose their bytes:
-- none that is still to be decided, none of a budget on hold, and nothing that a person said.
select inbox_offset,
    not pruned
    and verdict not in ('parked', 'waiting', 'held')
    and (type is null or type in ('budget.locked.v1', 'erp.acknowledgement.v1', 'deadline.passed.v1'))
    and not exists (
        select from budgets
        where (budgets.company_id, budgets.project_id, budgets.budget_id)
            = (next.company_id, next.project_id, next.budget_id) and budgets.on_hold
    )
    and not exists (
        select from holds
        where (holds.company_id, holds.project_id, holds.budget_id)
            = (next.company_id, next.project_id, next.budget_id) and holds.inbox_offset is null
    ) as goes
from (
    select *, bool_and(at < $4) over (order by inbox_offset) as is_old
    from (
        select inbox_offset, at, company_id, project_id, budget_id, type, verdict, pruned
        from history
        where inbox_partition = $1 and inbox_offset > $2 and inbox_offset < $3
        order by inbox_offset
        limit $5
    ) as looked_at
) as next
where is_old
order by inbox_offset;

-- name: drop_bytes
-- Everything else of a message stays: by it a repeat is recognised, and told what became of it.
update history set pruned = true, key = null, headers = '[]', body = null
where inbox_partition = $1 and inbox_offset = any($2::bigint[]);

-- name: remember_pruning
update deployment set pruned_before = greatest(pruned_before, $1);

-- What follows is for a look at the server itself.

-- name: read_server
select current_setting('server_version'), current_setting('server_version_num')::integer / 10000,
    pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean, clock_timestamp(),
    current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        - current_setting('reserved_connections')::integer
        - (select sum(numbackends) from pg_stat_database)::integer;

-- name: list_missing_rights
-- What a worker does, and no more: pruning, recovery and migrating need further rights. Where it changes columns, the
-- right to change those is enough.
with needed (relation, permission, columns) as (
    values
        ('migrations', 'select', null), ('deployment', 'select', null), ('rules', 'select', null),
        ('positions', 'select', null), ('history', 'select', null), ('budgets', 'select', null),
        ('outbox', 'select', null), ('holds', 'select', null), ('rule_applications', 'select', null),
        ('deployment', 'update', array['inbox_partitions']),
        ('rules', 'insert', array['digest', 'content']), ('rules', 'update', array['digest']),
        ('rule_applications', 'insert', array['rules_id', 'applied_by', 'why']),
        ('positions', 'insert', null),
        ('positions', 'update', array['owner', 'next_offset', 'last_offset', 'last_timestamp_ms', 'last_hash']),
        ('history', 'insert', null), ('history', 'update', array['verdict', 'detail']),
        ('budgets', 'insert', null), ('budgets', 'update', null), ('outbox', 'insert', null),
        ('holds', 'insert', null), ('holds', 'update', array['inbox_offset'])
)
select permission || ' on ' || relation as missing
from needed
where to_regclass(relation) is not null and case
    when columns is null then not has_table_privilege(relation, permission)
    else exists (
        select from unnest(columns) as changed (name) where not has_column_privilege(relation, changed.name, permission)
    )
end
order by 1;

-- What follows is for the rules in force.

-- name: share_rules_in_force
-- One round trip of every batch: the lock and what is read under it.
select rules_id, digest from share_rules_in_force();

-- name: lock_rules
-- The other side of the lock in share_rules_in_force.
select pg_advisory_xact_lock(421190072);

-- name: read_rules
select content from rules where id = $1;

-- name: keep_rules
-- The same rules get the same id, also when two workers start at once.
insert into rules (digest, content) values ($1, $2)
on conflict (digest) do update set digest = excluded.digest
returning id;

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
-- INVALID budgets in the order of their keys, each with the lock of its version as it came in.
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

-- What follows is for differences that people accept.

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
