-- Whether a budget is listed as on hold because a recovery holds it from its next message on. Its state does not say so
-- yet: that message brings it, and with it the status.
create function is_hold_to_come(budget budgets) returns boolean
language sql stable
return exists (
    select from holds
    where (holds.company_id, holds.project_id, holds.budget_id)
        = (budget.company_id, budget.project_id, budget.budget_id)
    and holds.inbox_offset is null
);
