"""Returns a budget to the project side, which can edit it again: who is notified, and why."""

from datetime import datetime

from contracts.budget_key import BudgetKey
from contracts.outbound import BudgetError, BudgetReturned, ReturnCause
from handlers.budget import Budget, Status, Version
from handlers.rules import fold_user


def return_budget(  # noqa: PLR0913 - the fields of the message
    key: BudgetKey,
    version: Version,
    cause: ReturnCause,
    *,
    at: datetime,
    by: str | None = None,
    reason: str | None = None,
    errors: tuple[BudgetError, ...] = (),
) -> BudgetReturned:
    """Write the message that returns a version; its creator and its sender, if known, are notified, once each.

    Args:
        key: of the budget.
        version: the one that is returned.
        cause: why, for programs.
        at: when it was decided.
        by: who decided it; ``None`` where nobody did.
        reason: why, for people.
        errors: what is wrong with the version or its lines.
    """
    notify: dict[str, str] = {}
    for person in filter(None, (version.created_by, version.sent_by)):
        notify.setdefault(fold_user(person), person)
    return BudgetReturned(
        **key._asdict(),
        budget_version=version.number,
        cause=cause,
        reason=reason,
        returned_by=by,
        returned_at=at,
        notify=tuple(notify.values()),
        errors=errors,
    )


def return_invalid(key: BudgetKey, version: Version, errors: tuple[BudgetError, ...], at: datetime) -> BudgetReturned:
    """Write the message that returns a version with everything that is wrong with it."""
    count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    reason = f"Version {version.number} has {count}; correct the budget and send it again."
    return return_budget(key, version, "invalid", at=at, reason=reason, errors=errors)


def send_back(budget: Budget, version: Version) -> Budget:
    """Mark the version as returned: nothing is proposed or due any more."""
    return budget._replace(
        status=Status.RETURNED,
        version=version._replace(proposal=None),
        due_at=None,
        overdue=False,
        failed_lines=(),
    )
