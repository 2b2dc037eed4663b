"""The budget key: which budget of which project, as it is written everywhere, and as the key of a Kafka record."""

from typing import Final, NamedTuple

_PARTS: Final = 3


class BudgetKey(NamedTuple):
    """Which budget: company, project and budget of the project side, each a positive 64-bit integer."""

    company_id: int
    project_id: int
    budget_id: int

    def __str__(self) -> str:
        return f"{self.company_id}/{self.project_id}/{self.budget_id}"

    @property
    def project(self) -> tuple[int, int]:
        """The company and the project: what everything in the inbox is keyed by."""
        return self[:2]


def parse_budget_key(text: str) -> BudgetKey:
    """Read a budget key as people and Kafka records write it.

    Args:
        text: ``COMPANY/PROJECT/BUDGET`` in decimal digits.

    Returns:
        The key.

    Raises:
        ValueError: the text is no budget key; the message says what one looks like.
    """
    parts = text.split("/")
    if len(parts) != _PARTS or not all(part.isascii() and part.isdigit() for part in parts):
        message = f"{text!r} is not a budget key; COMPANY/PROJECT/BUDGET is expected, such as 4211/90071/55210"
        raise ValueError(message)
    return BudgetKey(*map(int, parts))


def write_project_key(company_id: int, project_id: int) -> bytes:
    """Write the Kafka key of all records of a project in the inbox."""
    return b"%d/%d" % (company_id, project_id)
