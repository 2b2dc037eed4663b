-- What waits for an approver, in the order of the desk's list: partial, so that a budget at rest has no entry.
create index budgets_to_approve on budgets (status, since, company_id, project_id, budget_id)
    where status in ('PENDING_APPROVAL', 'EXPORT_FAILED');

-- What people decided and commanded, latest first. It is little beside what machines send.
create index history_of_people on history (at desc, inbox_partition desc, inbox_offset desc)
    where type in ('approval.decision.v1', 'drift.decision.v1', 'import.requested.v1', 'export.retry.v1',
                   'snapshot.request.v1', 'budget.release.v1', 'budget.reset.v1', 'budget.retrieved.v1')
    or source in ('budget-bridge/operator', 'budget-bridge/desk');
