-- Which consumer group and which inbox this database belongs to, recorded by the first start together with the number
-- of the inbox's partitions: a worker with another name would copy everything into the inbox again.
alter table deployment
    add column group_id text,
    add column inbox text,
    add constraint deployment_has_both_names check ((group_id is null) = (inbox is null));
