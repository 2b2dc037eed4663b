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
-- Which of these rights this role lacks, by their numbers from 1 on. What a migration has yet to create counts as there.
-- Names are looked up in the catalog, because a role that may not use the schema cannot resolve them.
select asked.number
from unnest($1::text[], $2::text[], $3::text[]) with ordinality as asked (privilege, named, columns, number)
left join pg_class on relname = named and relnamespace = 'public'::regnamespace
left join pg_proc on proname = named and pronamespace = 'public'::regnamespace
where case
    when privilege = 'usage' then not has_schema_privilege(named, privilege)
    when privilege = 'execute' then not has_function_privilege(pg_proc.oid, privilege)
    when columns = '' then not has_table_privilege(pg_class.oid, privilege)
    else exists (
        select from pg_attribute
        where attrelid = pg_class.oid and attname = any(string_to_array(columns, ' '))
        and not has_column_privilege(attrelid, attnum, privilege)
    )
end
order by asked.number;
