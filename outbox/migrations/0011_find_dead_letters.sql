-- The records that were set aside on one topic, since a time and of one budget where these are given. Reports list and
-- count them.
create function find_dead_letters(
    of_topic text, since timestamptz, of_company bigint, of_project bigint, of_budget bigint
) returns table (
    id uuid, at timestamptz, inbox_partition integer, inbox_offset bigint, ordinal integer, reason text, detail text,
    company_id bigint, project_id bigint, budget_id bigint, message_id text,
    origin_topic text, origin_partition integer, origin_offset bigint
)
language sql stable
begin atomic
    -- Our headers come after those of the record, so the last match is ours; quotes in a value are escaped.
    select outbox.id, outbox.at, outbox.inbox_partition, outbox.inbox_offset, outbox.ordinal,
        substring(outbox.headers::text from '.*\["dead_letter_reason", "([a-z_]+)"\]'), history.detail,
        history.company_id, history.project_id, history.budget_id, history.id,
        history.origin_topic, history.origin_partition, history.origin_offset
    from outbox
    join history using (inbox_partition, inbox_offset)
    where outbox.type is null and outbox.topic = of_topic
    and (since is null or outbox.at >= since)
    and (of_company is null
        or (history.company_id, history.project_id, history.budget_id) = (of_company, of_project, of_budget)
        or (history.budget_id is null
            and (history.key = convert_to(concat_ws('/', of_company, of_project, of_budget), 'UTF8')
            -- As text whatever the bytes, and only where such a record names its budget: near its start.
            or (encode(substring(history.body for 65536), 'escape') ~ ('"company_id"\s*:\s*"?' || of_company || '[^0-9]')
                and encode(substring(history.body for 65536), 'escape') ~ ('"project_id"\s*:\s*"?' || of_project || '[^0-9]')
                and encode(substring(history.body for 65536), 'escape') ~ ('"budget_id"\s*:\s*"?' || of_budget || '[^0-9]')))));
end;
