"""Sets up the log: events in the past tense, for a person or as JSON lines.

Nothing that happens to the output can stop the worker: lines that cannot be written are dropped and counted.
"""

import logging
import sys
from typing import Final, Literal, TextIO

import structlog
from prometheus_client import Counter

from worker.console import escape_text

Logger = structlog.typing.FilteringBoundLogger

LOST_LINES: Final = Counter("budget_bridge_log_lines_lost", "Lines of the log that could not be written.")


class ToleratedStream:
    """An output that drops what it cannot write, such as to a pipe without a reader or to a full disk."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, or drop and count it."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            LOST_LINES.inc()
            return 0

    def flush(self) -> None:
        """Flush, or count what is lost."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            LOST_LINES.inc()


def _make_harmless(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape what could control a terminal or hide text: ids and reasons come from other people."""
    return {name: escape_text(value, keep="\n\t") if isinstance(value, str) else value for name, value in event.items()}


def configure_log(log_format: Literal["console", "json"]) -> Logger:
    """Set up logging to the standard output for this process, and return its logger."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *(() if log_format == "json" else (_make_harmless,)),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(ToleratedStream(sys.stdout)),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    logger: Logger = structlog.get_logger()
    return logger
