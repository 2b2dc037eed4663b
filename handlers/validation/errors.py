"""One validation error: where it is, its code, and a sentence that the project side can act on."""

from typing import Final, NamedTuple

from contracts.outbound import BudgetError

_SHOWN: Final = 40


class Problem(NamedTuple):
    """An error before it is known which line it is in."""

    field: str
    code: str
    message: str

    def of_budget(self) -> BudgetError:
        """Make it an error of the budget as a whole."""
        return self.of_line(None)

    def of_line(self, item_id: int | None) -> BudgetError:
        """Make it an error of one line."""
        return BudgetError(budget_line_item_id=item_id, field=self.field, code=self.code, message=self.message)


def shorten_value(value: object) -> str:
    """Shorten a value from the message, so that a sentence about it stays readable."""
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
