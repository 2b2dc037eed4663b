-- Statements about the server, the session and the rights of this role.

-- name: read_server
select current_setting('server_version'), current_setting('server_version_num')::integer / 10000,
    pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean, clock_timestamp(),
    current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
        - current_setting('reserved_connections')::integer
        - (select sum(numbackends) from pg_stat_database)::integer,
    current_setting('server_encoding'), current_setting('transaction_timeout'), current_setting('search_path'),
    current_setting('fsync')::boolean and current_setting('full_page_writes')::boolean;

-- name: list_missing_rights
-- What a worker does, and what reports read, and no more: pruning, recovery and migrating need further rights. Where it
-- changes columns, the right to change those is enough.
with needed (relation, permission, columns) as (
    values
        ('migrations', 'select', null), ('deployment', 'select', null), ('rules', 'select', null),
        ('positions', 'select', null), ('history', 'select', null), ('budgets', 'select', null),
        ('outbox', 'select', null), ('holds', 'select', null), ('rule_applications', 'select', null),
        ('accepted_differences', 'select', null), ('readings', 'select', null),
        ('readings', 'insert', null), ('readings', 'update', array['content']),
        ('deployment', 'update', array['group_id', 'inbox', 'inbox_partitions']),
        ('rules', 'insert', array['digest', 'content']), ('rules', 'update', array['digest']),
        ('rule_applications', 'insert', array['rules_id', 'applied_by', 'why']),
        ('positions', 'insert', null),
        ('positions', 'update', array['owner', 'next_offset', 'last_offset', 'last_timestamp_ms', 'last_hash']),
        ('history', 'insert', null), ('history', 'update', array['verdict', 'detail']),
        ('budgets', 'insert', null), ('budgets', 'update', null), ('outbox', 'insert', null),
        ('holds', 'insert', null), ('holds', 'update', array['inbox_offset'])
)
select permission || ' on ' || relation as missing
from needed
where to_regclass(relation) is not null and case
    when columns is null then not has_table_privilege(relation, permission)
    else exists (
        select from unnest(columns) as changed (name) where not has_column_privilege(relation, changed.name, permission)
    )
end
order by 1;
