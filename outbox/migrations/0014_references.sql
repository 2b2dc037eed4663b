-- A version may be as large as the ids of the project side.
alter table history alter column budget_version type bigint;
alter table budgets
    alter column version type bigint,
    alter column synced_version type bigint,
    alter column waiting_version type bigint,
    alter column parked_due_version type bigint,
    -- The number in the last change reference of the budget: those of a project are counted together.
    add column last_reference integer not null default 0;

-- Until now each budget counted its own, by its exports.
update budgets set last_reference = json_array_length(state -> 'tries') where json_typeof(state -> 'tries') = 'array';
