-- What comparing readings with exports has shown.
alter table budgets
    -- When the bridge asks again by itself, or the last reading gets too old.
    add column read_back_due_at timestamptz,
    -- Of budgets with a base: since when nothing newer was read.
    add column read_since timestamptz,
    -- Whether Spectrum differs in a line that nobody has kept.
    add column differs boolean not null default false;
create index budgets_by_read_back_due on budgets (inbox_partition, read_back_due_at) where read_back_due_at is not null;
create index budgets_by_read_since on budgets (read_since) where read_since is not null;
create index budgets_that_differ on budgets (company_id, project_id, budget_id) where differs;
