"""Progress bars on the error output, if that is a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TaskID

from worker.reconcile.progress import Progress as ReportProgress


@contextmanager
def open_progress_bars() -> Iterator[ReportProgress]:
    """Open progress bars, one for each step of the work; they disappear when this ends."""
    console = Console(stderr=True, highlight=False)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total or None)

        yield report
