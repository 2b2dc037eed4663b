create table rule_applications (
    -- Which version of the rules was in force from when on, who applied it and why; the latest is in force.
    id bigint generated always as identity primary key,
    rules_id bigint not null references rules (id),
    applied_by text not null,
    why text not null,
    at timestamptz not null default now()
);

-- Since it is rule_applications that knows when a version was used.
alter table rules drop column first_used_at;

create function share_rules_in_force(out rules_id bigint, out digest text) language plpgsql as $$
    -- Which version is in force, and it stays so until the caller's transaction ends: whoever applies another one takes
    -- the same lock alone. A function, because its second statement must see what was committed while the first waited.
    begin
        perform pg_advisory_xact_lock_shared(421190072);
        select applications.rules_id, rules.digest into share_rules_in_force.rules_id, share_rules_in_force.digest
        from rule_applications as applications
        join rules on rules.id = applications.rules_id
        order by applications.id desc
        limit 1;
    end
$$;
