-- Statements of a lane: take its position, load and store a batch, read back what it has to publish.
-- Each statement is one round trip; arrays hold a whole batch. What is only added is copied (outbox/writing.py).

-- name: take_position
-- Waits until an open transaction on it has ended, and fences its owner from then on.
update positions set owner = $2 where inbox_partition = $1
returning next_offset, last_offset, last_timestamp_ms, last_hash;

-- name: start_position
-- Two owners that start a lane at once start it at one offset, that of the group, so the key stops the second.
insert into positions (inbox_partition, next_offset, owner)
select $1, $2, $3 where not exists (select from positions where inbox_partition = $1);

-- name: move_position
-- The rules in force, which stay so until the transaction ends, and the position. The update joins the rules, so it
-- locks no row before it has their lock; as any update, it finds no position that was taken while it waited.
-- By the whole key, which no earlier version of the row has: under a held snapshot these stay, one for each batch.
with in_force as materialized (select rules_id, digest from share_rules_in_force()),
moved as (
    update positions
    set next_offset = $4, last_offset = $5, last_timestamp_ms = $6, last_hash = $7
    from in_force
    where inbox_partition = $1 and next_offset = $2 and owner = $3
    returning inbox_partition
)
select rules_id, digest, exists (select from moved) as is_moved from in_force;

-- name: find_known
-- Which of these identities history has already, each with the digest of its body.
select company_id, project_id, source, id, type, pruned, sha256(coalesce(body, '')) as body_digest
from history
join unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[])
    as asked (company_id, project_id, source, id, type)
    using (company_id, project_id, source, id, type);

-- name: load_known_message
select origin_topic, origin_partition, origin_offset, origin_timestamp_ms, key, headers, body
from history
where (company_id, project_id, source, id, type) = ($1, $2, $3, $4, $5);

-- name: measure_readings
-- How many bytes the readings of these budgets have as they are stored, which is known without reading them.
select company_id, project_id, budget_id, pg_column_size(content) as bytes
from readings
join unnest($1::bigint[], $2::bigint[], $3::bigint[]) as asked (company_id, project_id, budget_id)
    using (company_id, project_id, budget_id);

-- name: load_budgets
-- Each of these budgets, stored or not, with what all budgets of its project say (as load_projects has it; found once
-- for each project), and why a recovery holds it from its next message on, if one does.
-- The column on_hold may be ahead of a state that could not be read; a hold that is still to come does not count yet.
with asked as (
    select * from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as asked (company_id, project_id, budget_id)
),
projects as (
    select company_id, project_id, max(budget_id) filter (where claims_job) as claimant,
        max(last_reference) as last_reference
    from budgets
    join (select distinct company_id, project_id from asked) as of_asked using (company_id, project_id)
    group by company_id, project_id
)
select company_id, project_id, budget_id, budgets.state, budgets.revision,
    budgets.on_hold and to_come.reason is null as on_hold, readings.content as readings, to_come.reason as to_hold,
    projects.claimant, projects.last_reference
from asked
left join budgets using (company_id, project_id, budget_id)
left join readings using (company_id, project_id, budget_id)
left join (
    select company_id, project_id, budget_id, reason from holds where inbox_offset is null
) as to_come using (company_id, project_id, budget_id)
left join projects using (company_id, project_id);

-- name: load_held_messages
-- The held messages of a budget that come next, in order, also from before the inbox was recreated: until there
-- are too many bytes, but always one after the first, to know whether there are more.
select origin_topic, origin_partition, origin_offset, origin_timestamp_ms, key, headers, body, inbox_partition,
    inbox_offset, kid
from (
    select *, row_number() over in_order as number,
        sum(coalesce(octet_length(body), 0)) over in_order - coalesce(octet_length(body), 0) as bytes_before
    from (
        select origin_topic, origin_partition, origin_offset, origin_timestamp_ms, key, headers, body, inbox_partition,
            inbox_offset, kid
        from history
        where (company_id, project_id, budget_id) = ($1, $2, $3) and verdict = 'held'
        order by inbox_offset
        limit $4
    ) as next
    window in_order as (order by inbox_offset, inbox_partition)
) as measured
where bytes_before <= $5 or number <= 2
order by number;

-- name: resolve_history
-- Only the verdicts parked, waiting and held are ever replaced.
update history set verdict = asked.verdict, detail = asked.detail
from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    as asked (company_id, project_id, source, id, type, verdict, detail)
where (history.company_id, history.project_id, history.source, history.id, history.type)
    = (asked.company_id, asked.project_id, asked.source, asked.id, asked.type)
and history.verdict in ('parked', 'waiting', 'held');

-- name: change_budgets
-- On condition of the revision before, which was loaded: a lane that finds another one has lost its position.
update budgets set
    revision = given.revision, inbox_partition = given.inbox_partition, status = given.status,
    version = given.version, since = given.since, content_hash = given.content_hash, export_id = given.export_id,
    attempt = given.attempt, synced_version = given.synced_version, waiting_version = given.waiting_version,
    acknowledgement_due_at = given.acknowledgement_due_at, overdue = given.overdue, on_hold = given.on_hold,
    parked = given.parked, parked_due_at = given.parked_due_at, parked_due_version = given.parked_due_version,
    company_code = given.company_code, job_number = given.job_number, claims_job = given.claims_job,
    sequence = given.sequence, state = given.state, release_due_at = given.release_due_at,
    last_reference = given.last_reference, snapshot_due_at = given.snapshot_due_at,
    read_back_due_at = given.read_back_due_at, read_since = given.read_since, read_back = given.read_back,
    drift_amount = given.drift_amount, import_due_at = given.import_due_at
from unnest(
    $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::text[], $7::bigint[],
    $8::timestamptz[], $9::text[], $10::uuid[], $11::integer[], $12::bigint[], $13::bigint[], $14::timestamptz[],
    $15::boolean[], $16::boolean[], $17::integer[], $18::timestamptz[], $19::bigint[], $20::text[], $21::text[],
    $22::boolean[], $23::bigint[], $24::json[], $25::timestamptz[], $26::integer[], $27::timestamptz[],
    $28::timestamptz[], $29::timestamptz[], $30::text[], $31::bigint[], $32::timestamptz[]
) as given (
    company_id, project_id, budget_id, revision, inbox_partition, status, version, since, content_hash, export_id,
    attempt, synced_version, waiting_version, acknowledgement_due_at, overdue, on_hold, parked, parked_due_at,
    parked_due_version, company_code, job_number, claims_job, sequence, state, release_due_at,
    last_reference, snapshot_due_at, read_back_due_at, read_since, read_back,
    drift_amount, import_due_at
)
where (budgets.company_id, budgets.project_id, budgets.budget_id)
    = (given.company_id, given.project_id, given.budget_id)
and budgets.revision = given.revision - 1;

-- name: put_readings
insert into readings (company_id, project_id, budget_id, content)
select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::json[])
on conflict (company_id, project_id, budget_id) do update set content = excluded.content;

-- name: hold_budgets
-- A budget whose state cannot be read is only marked as on hold; nothing else of it is overwritten.
update budgets set on_hold = true, revision = given.revision + 1
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
    as given (company_id, project_id, budget_id, revision)
where (budgets.company_id, budgets.project_id, budgets.budget_id)
    = (given.company_id, given.project_id, given.budget_id)
and budgets.revision = given.revision;

-- name: add_holds
-- A hold that was to come gets its place; one that was not planned is added.
with come as (
    update holds set inbox_offset = given.inbox_offset
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::integer[], $6::bigint[], $7::boolean[])
        as given (company_id, project_id, budget_id, reason, inbox_partition, inbox_offset, silent)
    where (holds.company_id, holds.project_id, holds.budget_id)
        = (given.company_id, given.project_id, given.budget_id)
    and holds.inbox_offset is null and holds.reason = given.reason
    returning holds.company_id, holds.project_id, holds.budget_id
)
insert into holds (company_id, project_id, budget_id, reason, inbox_partition, inbox_offset, silent)
select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::integer[], $6::bigint[], $7::boolean[])
    as given (company_id, project_id, budget_id, reason, inbox_partition, inbox_offset, silent)
where (company_id, project_id, budget_id) not in (select * from come);

-- name: read_outbox
-- The messages of one lane because of a range of records, in order, up to a number of rows and of bytes; at least one.
select inbox_offset, topic, key, headers, value
from (
    select *, sum(octet_length(value)) over (order by inbox_offset, ordinal) - octet_length(value) as bytes_before
    from (
        select *
        from outbox
        where inbox_partition = $1 and inbox_offset >= $2 and inbox_offset < $3
        order by inbox_offset, ordinal
        limit $4
    ) as next
) as measured
where coalesce(bytes_before, 0) < $5
order by inbox_offset, ordinal;
