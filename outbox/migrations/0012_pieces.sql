-- A release decides what is held in pieces; lists, counts and look-ups read what they show, however much there is.

-- When the next piece of a release is due; null unless held messages are left of one.
alter table budgets add column release_due_at timestamptz;
create index budgets_by_release_due on budgets (inbox_partition, release_due_at) where release_due_at is not null;

-- What is held of a budget, in order. Messages are held where something is wrong, so it has next to no entries.
create index history_held on history (company_id, project_id, budget_id, inbox_offset) where verdict = 'held';

-- Of whom a budget waits for: partial, so that a budget at rest has no entry. The second one has the order of the list.
create index budgets_to_notice on budgets (status)
    where overdue or on_hold or parked_due_at is not null or waiting_version is not null;
create index budgets_waiting on budgets (on_hold desc, overdue desc, status, since)
    where on_hold or overdue or status in ('EXPORT_FAILED', 'PENDING_APPROVAL');
-- The two that are not partial cost every change of a budget an entry each. Without the first, each worker reads the
-- whole table every ten seconds to count; without the second, applying rules does so while all lanes wait for it.
create index budgets_by_status on budgets (status, company_id, project_id, budget_id) include (since);
create index budgets_by_job on budgets (company_code, job_number) where job_number is not null;

-- Which record of the inbox a dead letter is of, where that one was held and another released it.
alter table outbox add column dead_letter_of_partition integer, add column dead_letter_of_offset bigint;
drop index outbox_dead_letters;
create index outbox_dead_letters on outbox (topic, at desc, inbox_partition, inbox_offset desc, ordinal)
    where type is null;
create index outbox_dead_letters_by_id on outbox (id) where type is null;

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
    join history on (history.inbox_partition, history.inbox_offset) = (
        coalesce(outbox.dead_letter_of_partition, outbox.inbox_partition),
        coalesce(outbox.dead_letter_of_offset, outbox.inbox_offset)
    )
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
