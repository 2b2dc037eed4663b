"""What a person may do: looked up at each request, so that a right that was taken away is gone at the next click.

Approvers are in the rules in force. Operators are in a file of their own, which the desk alone reads: the bridge does
not ask who commands it. Whoever is on neither list may see nothing. Neither list gives what the other one gives.
"""

from dataclasses import dataclass
from pathlib import Path

from desk.changing_file import ChangingFile
from handlers.rules import Rules, fold_user
from worker.rules_files import People, read_people
from worker.settings import ConfigurationError
from worker.telemetry.logs import Logger


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
        return _list_projects(self.rules.approvers, self.user)

    @property
    def is_approver(self) -> bool:
        """Whether the person is an approver of anything."""
        return bool(self.approves)

    @property
    def is_operator(self) -> bool:
        """Whether the person is an operator of anything."""
        return bool(self.operates)


class Operators:
    """The operators that ``OPERATORS_FILE`` lists, as it is now."""

    def __init__(self, file: Path | None, log: Logger) -> None:
        """Take the file; without one nobody is an operator."""
        self._file = None if file is None else ChangingFile(file, read_people)
        self._log = log
        self._problems: tuple[str, ...] = ()

    def list(self) -> People:
        """List the operators; nobody is one while the file has problems, and the log says why, once."""
        try:
            people: People = {} if self._file is None else self._file.get()
        except ConfigurationError as error:
            if error.problems != self._problems:
                self._log.error("operators.unreadable", problems=error.problems)
            self._problems = error.problems
            return {}
        self._problems = ()
        return people


def find_rights(user: str, rules: Rules, operators: People) -> Rights:
    """Find what a person may do.

    Args:
        user: as the person signed in.
        rules: those in force.
        operators: folded users by company and project, as the rules have approvers.
    """
    return Rights(user, rules, _list_projects(operators, user))


def _list_projects(people: People, user: str) -> frozenset[tuple[int, int | None]]:
    folded = fold_user(user)
    return frozenset(project for project, users in people.items() if folded in users)
