-- Differences that reconcile has found and a person has accepted: who, when and why.
create table accepted_differences (
    -- Of claim, kind, budget and what was found: the same difference has the same digest when it is found again.
    digest bytea primary key,
    claim text not null,
    kind text not null,
    company_id bigint,
    project_id bigint,
    budget_id bigint,
    found text not null,
    accepted_by text not null,
    why text not null,
    accepted_at timestamptz not null default now()
);
