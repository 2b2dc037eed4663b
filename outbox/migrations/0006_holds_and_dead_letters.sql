-- A budget whose stored state cannot be read is held without a status message, because its status is not known.
alter table holds add column silent boolean not null default false;

-- A dead letter is no message of ours and has no type: that is how they are found among all rows, latest first.
update outbox set type = null
where type in ('budget.locked.v1', 'budget.retrieved.v1', 'approval.decision.v1', 'erp.acknowledgement.v1',
               'export.retry.v1', 'deadline.passed.v1', 'budget.release.v1', 'budget.reset.v1');
create index outbox_dead_letters on outbox (at, inbox_partition, inbox_offset, ordinal) where type is null;
