"""Shows on the error output how far long work is; where that is no terminal, nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TaskID

from worker.reconcile.progress import Progress as ReportProgress


@contextmanager
def show_progress() -> Iterator[ReportProgress]:
    """Show one bar for each thing that is done; they are gone when this ends."""
    console = Console(stderr=True, highlight=False)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total or None)

        yield report
