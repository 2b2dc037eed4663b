create table holds (
    -- Why budgets were put on hold: deciding on a message failed, or a recovery found other messages in Kafka
    -- than the history gives. A hold counts from the next message of its budget on, whose place it then names.
    id bigint generated always as identity primary key,
    company_id bigint not null,
    project_id bigint not null,
    budget_id bigint not null,
    reason text not null,
    inbox_partition integer not null,
    inbox_offset bigint
);
create unique index holds_to_come on holds (company_id, project_id, budget_id) where inbox_offset is null;
create unique index holds_by_place on holds (inbox_partition, inbox_offset);
create index holds_by_project on holds (company_id, project_id);
