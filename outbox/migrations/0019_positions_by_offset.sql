-- A position moves with each batch. While somebody holds a snapshot, the versions that it had before cannot be removed,
-- and whoever looks for it by partition alone passes all of them: a day's worth makes each batch a hundred times dearer.
-- With the offset in the key, a batch finds the one version that it moves.
alter table positions drop constraint positions_pkey, add primary key (inbox_partition, next_offset);
