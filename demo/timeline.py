"""What the demo prints: a timeline of what people, the bridge and Spectrum do, and the checks in between."""

import time
from dataclasses import dataclass, field

from rich.console import Console


@dataclass(slots=True)
class Timeline:
    """Prints the timeline and keeps the result of each check."""

    console: Console
    checks: list[tuple[str, bool]] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)

    def print_title(self, number: int, title: str) -> None:
        """Print the heading of a scenario."""
        self.console.print(f"\n[bold]{number}. {title.strip(' .')}[/bold]")

    def print_event(self, arrow: str, who: str, what: str, style: str = "") -> None:
        """Print one line of the timeline.

        Args:
            arrow: ``→`` for what goes to the bridge, ``←`` for what comes from it, blank for anything else.
            who: who does it.
            what: what they do.
            style: one of rich's.
        """
        at = f"{time.monotonic() - self._started:6.2f} s"
        self.console.print(f"  [dim]{at}[/dim]  {arrow} [bold]{who:<9}[/bold] ", end="")
        self.console.print(what, style=style, markup=False, highlight=False, soft_wrap=True)

    def print_detail(self, what: str, style: str = "yellow") -> None:
        """Print a line that explains the one above it."""
        self.print_event(" ", "", what, style)

    def check(self, what: str, *, holds: bool) -> None:
        """Keep and print the result of a check."""
        self.checks.append((what, holds))
        self.print_event(" ", "check", f"{'✓' if holds else '✗'} {what}", style="green" if holds else "bold red")
