"""What every inbound message carries: the budget that it is about, and for most of them the version."""

from typing import ClassVar

from contracts.budget_key import BudgetKey
from contracts.fields import Identifier, Value


class Inbound(Value):
    """A message about a budget as a whole."""

    type: ClassVar[str]

    company_id: Identifier
    project_id: Identifier
    budget_id: Identifier

    @property
    def key(self) -> BudgetKey:
        """The budget that it is about."""
        return BudgetKey(self.company_id, self.project_id, self.budget_id)

    @property
    def version(self) -> int | None:
        """The version that it is about; ``None`` where it is about the budget as a whole."""
        return None

    def list_values(self) -> dict[str, object]:
        """List the fields by value; two messages of a type with the same ones say the same."""
        return dict(self)


class InboundOfVersion(Inbound):
    """A message about one version of a budget."""

    budget_version: Identifier

    @property
    def version(self) -> int | None:
        """The version that it is about."""
        return self.budget_version
