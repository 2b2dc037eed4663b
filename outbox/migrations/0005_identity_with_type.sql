-- The type belongs to the identity of a message: whoever may write to one topic must not use up the ids of another.
-- What cannot be read has the empty type.
update history set type = '' where type is null;
alter table history
    alter column type set not null,
    drop constraint history_pkey,
    add primary key (company_id, project_id, source, id, type),
    drop constraint history_is_of_a_budget_or_unreadable,
    add constraint history_is_of_a_budget_or_set_aside check (
        (budget_id is not null and budget_version is not null and type <> '' and company_id > 0)
        or (budget_id is null and type = '' and company_id = 0 and project_id = 0 and verdict = 'dead_lettered')
    );
