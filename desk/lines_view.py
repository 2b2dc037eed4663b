"""Which lines a page shows and in which order, as the address says; every choice is a link."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from contracts.text import fold_text
from desk.lines import Line, Shown, Totals, add_up

_ORDERS: Final[Mapping[str, Callable[[Line], Any]]] = {
    "phase": lambda line: (line.phase, line.cost_type),
    "type": lambda line: (line.cost_type, line.phase),
    "description": lambda line: (fold_text(line.description), line.phase, line.cost_type),
    "original": lambda line: line.original,
    "revision": lambda line: line.revision,
    "before": lambda line: line.before or 0,
    "change": lambda line: line.difference,
    "happens": lambda line: (line.change, line.phase, line.cost_type),
}
_KINDS: Final = ("all", "changed", "add", "set", "zero", "same")


@dataclass(frozen=True, slots=True)
class View:
    """What somebody has chosen to see."""

    path: str
    kind: str
    """``all``, ``changed``, or one kind of change."""
    usual_kind: str
    text: str = ""
    cost_type: str = ""
    order: str = "phase"
    descends: bool = False

    def shows(self, line: Line) -> bool:
        """Check whether a line is among those chosen."""
        return (
            self.kind in {"all", line.change, "changed" if line.change != "same" else ""}
            and (not self.cost_type or line.cost_type == self.cost_type)
            and (
                not self.text or fold_text(self.text) in fold_text(f"{line.phase} {line.cost_type} {line.description}")
            )
        )

    def sort(self, shown: Shown) -> list[Line]:
        """Sort all lines, also those that are not shown: print has them."""
        return sorted(shown.lines, key=_ORDERS[self.order], reverse=self.descends)

    def sum_shown(self, shown: Shown) -> Totals:
        """Add up the lines that are shown."""
        return add_up("shown", [line for line in shown.lines if self.shows(line)])

    def link(self, **changes: Any) -> str:
        """Write the address of this view with something changed."""
        other = replace(self, **changes)
        usual = View(self.path, self.usual_kind, self.usual_kind)
        query = {
            name: value
            for name, value, default in (
                ("lines", other.kind, usual.kind),
                ("text", other.text, ""),
                ("type", other.cost_type, ""),
                ("sort", f"{'-' if other.descends else ''}{other.order}", usual.order),
            )
            if value != default
        }
        return f"{self.path}?{urlencode(query)}#lines" if query else f"{self.path}#lines"

    def sort_by(self, order: str) -> str:
        """Write the address in another order; the same again turns it round."""
        return self.link(order=order, descends=order == self.order and not self.descends)

    def describe_order(self, order: str) -> str | None:
        """Describe how a column is sorted, as ``aria-sort`` does; ``None`` for one that is not."""
        if order != self.order:
            return None
        return "descending" if self.descends else "ascending"


def read_view(path: str, query: QueryParams, *, opens_on_changes: bool) -> View:
    """Read what somebody has chosen; what is not known is as if it were not there.

    Args:
        path: of the page.
        query: of the address.
        opens_on_changes: whether only the lines that change are shown at first.
    """
    usual = "changed" if opens_on_changes else "all"
    kind, order = query.get("lines", usual), query.get("sort", "phase")
    name = order.removeprefix("-")
    return View(
        path,
        kind if kind in _KINDS else usual,
        usual,
        query.get("text", "").strip()[:100],
        query.get("type", ""),
        name if name in _ORDERS else "phase",
        order.startswith("-") and name in _ORDERS,
    )
