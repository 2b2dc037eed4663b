-- The whole of what the bridge keeps: how far each lane is, what came in and what became of it,
-- where each budget stands, and what is to be sent, with its final bytes.

create table deployment (
    -- One row: which database this is, so that two of them can never share a consumer group unnoticed.
    only_row boolean primary key default true,
    id uuid not null default gen_random_uuid(),
    inbox_partitions integer,
    constraint deployment_has_one_row check (only_row),
    constraint deployment_counts_partitions check (inbox_partitions > 0)
);
insert into deployment default values;

create table rules (
    -- Every version of the rules that ever decided something; history names the one it was decided by.
    id bigint generated always as identity primary key,
    digest text not null unique,
    content json not null,
    first_used_at timestamptz not null default now()
);

create table positions (
    -- How far each lane is in its inbox partition, and who may move it.
    inbox_partition integer primary key,
    next_offset bigint not null,
    owner uuid not null,
    last_offset bigint,
    last_timestamp_ms bigint,
    last_hash bytea,
    constraint positions_lie_in_a_log check (inbox_partition >= 0 and next_offset >= 0),
    constraint positions_know_the_record_before check (
        (last_offset is null and last_timestamp_ms is null and last_hash is null)
        or (last_offset < next_offset and last_timestamp_ms is not null and last_hash is not null)
    )
);

create table history (
    -- Every message that came in, once: inbox, audit and replay source. What cannot be read has project 0/0
    -- and its origin as identity.
    company_id bigint not null,
    project_id bigint not null,
    source text not null,
    id text not null,
    inbox_partition integer not null,
    inbox_offset bigint not null,
    at timestamptz not null,
    origin_topic text not null,
    origin_partition integer not null,
    origin_offset bigint not null,
    origin_timestamp_ms bigint not null,
    type text,
    budget_id bigint,
    budget_version integer,
    key bytea,
    headers json not null,
    body bytea,
    verdict text not null,
    detail text not null,
    -- No foreign key: it would cost a look-up for every message, and rules are never deleted.
    rules_id bigint not null,
    primary key (company_id, project_id, source, id),
    constraint history_has_a_known_verdict check (
        verdict in ('applied', 'duplicate', 'stale', 'refused', 'parked', 'waiting', 'superseded', 'ignored',
                    'dead_lettered', 'held')
    ),
    constraint history_is_of_a_budget_or_unreadable check (
        (budget_id is not null and budget_version is not null and type is not null and company_id > 0)
        or (budget_id is null and company_id = 0 and project_id = 0 and verdict = 'dead_lettered')
    )
);
create unique index history_by_place on history (inbox_partition, inbox_offset);
create index history_by_budget on history (company_id, project_id, budget_id, inbox_offset);

create table budgets (
    -- Where each budget stands. What rules and people ask for has columns; the whole is in state.
    company_id bigint not null,
    project_id bigint not null,
    budget_id bigint not null,
    revision bigint not null,
    inbox_partition integer not null,
    status text,
    version integer,
    since timestamptz,
    content_hash text,
    export_id uuid,
    attempt integer,
    synced_version integer,
    waiting_version integer,
    acknowledgement_due_at timestamptz,
    overdue boolean not null,
    on_hold boolean not null,
    parked integer not null,
    parked_due_at timestamptz,
    parked_due_version integer,
    -- Where Spectrum may hold something of it.
    company_code text,
    job_number text,
    claims_job boolean not null,
    sequence bigint not null,
    state json not null,
    primary key (company_id, project_id, budget_id),
    constraint budgets_have_a_known_status check (
        status in ('INVALID', 'PENDING_APPROVAL', 'EXPORTING', 'EXPORT_FAILED', 'RETURNED', 'SYNCED')
    ),
    constraint budgets_with_a_status_have_a_version check (
        num_nonnulls(status, version, since) in (0, 3) and (status is null) = (sequence = 0)
    ),
    constraint budgets_are_valid_or_not check (
        case status
            when 'INVALID' then content_hash is null
            when 'RETURNED' then true
            else status is null or content_hash is not null
        end
    ),
    constraint budgets_exporting_have_an_export check (
        status is null or status not in ('EXPORTING', 'EXPORT_FAILED')
        or (export_id is not null and attempt is not null and job_number is not null)
    ),
    constraint budgets_exporting_are_due_or_overdue check (
        case when status = 'EXPORTING' then (acknowledgement_due_at is null) = overdue
        else acknowledgement_due_at is null and not overdue end
    ),
    -- "is true", because a CHECK lets a null pass.
    constraint budgets_synced_are_at_their_version check (
        (status is distinct from 'SYNCED' or synced_version = version) is true
    ),
    constraint budgets_wait_behind_an_export check (
        (waiting_version is null or (status = 'EXPORTING' and waiting_version > version)) is true
    ),
    constraint budgets_parked_have_a_due_time check (
        (parked = 0) = (parked_due_at is null) and (parked = 0) = (parked_due_version is null)
    ),
    constraint budgets_under_way_claim_their_job check (
        claims_job
        or (job_number is null and (status is null or status in ('INVALID', 'RETURNED')))
    ),
    -- Deferred, because a job passes from one budget to another within a batch.
    constraint budgets_claim_a_job_alone exclude using btree (company_id with =, project_id with =)
        where (claims_job) deferrable initially deferred
);
create index budgets_by_acknowledgement_due on budgets (inbox_partition, acknowledgement_due_at)
    where acknowledgement_due_at is not null;
create index budgets_by_parked_due on budgets (inbox_partition, parked_due_at) where parked_due_at is not null;

create table outbox (
    -- What is sent because of a record, in order, with its final bytes. Insert-only: the consumer group's
    -- offset says what of it is visible already.
    inbox_partition integer not null,
    inbox_offset bigint not null,
    ordinal integer not null,
    id uuid not null,
    at timestamptz not null,
    topic text not null,
    type text,
    company_id bigint,
    project_id bigint,
    budget_id bigint,
    key bytea,
    headers json not null,
    value bytea,
    primary key (inbox_partition, inbox_offset, ordinal)
);
create index outbox_by_budget on outbox (company_id, project_id, budget_id, inbox_offset, ordinal);
