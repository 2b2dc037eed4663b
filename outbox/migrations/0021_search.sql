-- What people search by: the number of a budget, which never changes, and the id of its last export.
create index budgets_by_number on budgets (budget_id);
create index budgets_by_export on budgets (export_id) where export_id is not null;
