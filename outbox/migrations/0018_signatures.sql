-- The key that has signed a message, where the rules wanted that; null where they did not.
alter table history add column kid text;

-- A message that had to be signed, and was not by anybody who might: refused under the identity of its origin, so that
-- the genuine one is no repeat of it, and yet of its project and budget. Not valid, because all that is there obeyed a
-- stricter rule.
alter table history
    drop constraint history_is_of_a_budget_or_set_aside,
    add constraint history_is_of_a_budget_or_set_aside check (
        (budget_id is not null and type <> '' and company_id > 0)
        or (budget_id is not null and type = '' and company_id > 0 and verdict = 'refused')
        or (budget_id is null and type = '' and company_id = 0 and project_id = 0 and verdict = 'dead_lettered')
    ) not valid;
