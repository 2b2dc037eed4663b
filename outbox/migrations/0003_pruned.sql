-- What is old enough may go: rows of the outbox altogether, of history the bytes.

-- A constant default is kept with the table, so this writes no row, however many there are.
alter table history add column pruned boolean not null default false;
-- Not valid, because nothing that is there needs to be looked at; it holds for all that is pruned from now on.
alter table history add constraint history_keeps_what_is_to_be_decided check (
    not pruned
    or (key is null and body is null and verdict not in ('parked', 'waiting', 'held'))
) not valid;

-- Bytes of history and outbox rows of messages that arrived before this time may be deleted.
alter table deployment add column pruned_before timestamptz;
