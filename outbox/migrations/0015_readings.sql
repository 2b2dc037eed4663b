-- What Spectrum was read to hold: one row for each budget that somebody has read, so that the others cost nothing.
create table readings (
    company_id bigint not null,
    project_id bigint not null,
    budget_id bigint not null,
    -- The last reading, and the pages of the snapshot that is being collected.
    content json not null,
    primary key (company_id, project_id, budget_id)
);

-- When a request for a snapshot is asked again; null unless one is open.
alter table budgets add column snapshot_due_at timestamptz;
create index budgets_by_snapshot_due on budgets (inbox_partition, snapshot_due_at) where snapshot_due_at is not null;

-- Not every message is about a version. Not valid, because all that is there obeyed a stricter rule.
alter table history
    drop constraint history_is_of_a_budget_or_set_aside,
    add constraint history_is_of_a_budget_or_set_aside check (
        (budget_id is not null and type <> '' and company_id > 0)
        or (budget_id is null and type = '' and company_id = 0 and project_id = 0 and verdict = 'dead_lettered')
    ) not valid;
