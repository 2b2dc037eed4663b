-- What comparing readings with exports has shown.
alter table budgets
    -- When the bridge asks again by itself, or the last reading gets too old.
    add column read_back_due_at timestamptz,
    -- Of budgets with a base: since when nothing newer was read.
    add column read_since timestamptz,
    -- How the last reading compares, as the status message shows it.
    add column read_back text not null default 'never',
    -- By how much Spectrum differs, in hundredths, in lines that nobody has kept.
    add column drift_amount bigint not null default 0;
create index budgets_by_read_back_due on budgets (inbox_partition, read_back_due_at) where read_back_due_at is not null;
create index budgets_by_read_since on budgets (read_since) where read_since is not null;
create index budgets_by_drift on budgets (drift_amount desc, read_since) where read_back in ('differs', 'stale', 'unknown');
create index budgets_never_read on budgets (read_since) where read_back = 'never' and read_since is not null;
