"""What a person may do: looked up at each request, from the rules in force."""

from collections.abc import Mapping
from dataclasses import dataclass

from handlers.rules import Rules, fold_user


@dataclass(frozen=True, slots=True)
class Rights:
    """What one person may do, and of which projects they see anything."""

    user: str
    rules: Rules
    operates: frozenset[tuple[int, int | None]] = frozenset()
    """For which projects the person is an operator; no project means the whole company."""

    def may_approve(self, company_id: int, project_id: int) -> bool:
        """Check whether the person is an approver of a project."""
        return self.rules.may_approve(self.user, company_id, project_id)

    def may_operate(self, company_id: int, project_id: int) -> bool:
        """Check whether the person is an operator of a project."""
        return bool({(company_id, project_id), (company_id, None)} & self.operates)

    def may_see(self, company_id: int, project_id: int) -> bool:
        """Check whether the person is one or the other."""
        return self.may_approve(company_id, project_id) or self.may_operate(company_id, project_id)

    @property
    def approves(self) -> frozenset[tuple[int, int | None]]:
        """For which projects the person is an approver; no project means the whole company."""
        folded = fold_user(self.user)
        return frozenset(project for project, users in self.rules.approvers.items() if folded in users)

    @property
    def is_approver(self) -> bool:
        """Whether the person is an approver of anything."""
        return bool(self.approves)

    @property
    def is_operator(self) -> bool:
        """Whether the person is an operator of anything."""
        return bool(self.operates)


def find_rights(user: str, rules: Rules, operators: Mapping[tuple[int, int | None], frozenset[str]]) -> Rights:
    """Find what a person may do.

    Args:
        user: as the person signed in.
        rules: those in force.
        operators: folded users by company and project, as the rules have approvers.
    """
    folded = fold_user(user)
    return Rights(user, rules, frozenset(project for project, users in operators.items() if folded in users))
