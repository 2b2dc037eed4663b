-- When an import of the budget expires; null unless one is under way.
alter table budgets add column import_due_at timestamptz;
create index budgets_by_import_due on budgets (inbox_partition, import_due_at) where import_due_at is not null;
