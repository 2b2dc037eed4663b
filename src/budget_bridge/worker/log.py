"""What the worker says while it runs: events in the past tense, for a person or as JSON lines."""

import logging
import sys
from collections import Counter
from typing import Final, Literal

import structlog

from budget_bridge.worker.metrics import AWAY

Logger = structlog.typing.FilteringBoundLogger


def configure_log(log_format: Literal["console", "json"]) -> Logger:
    """Set up logging for this process and give its logger."""
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
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logger: Logger = structlog.get_logger()
    return logger


_away: Final[Counter[str]] = Counter()


def list_away() -> set[str]:
    """List the parts of this worker that wait for something that is away."""
    return {what for what, count in _away.items() if count}


class Outage:
    """Says once that something is away, and once that it is back, however often it is tried meanwhile."""

    def __init__(self, log: Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._away = False

    def note(self, why: object) -> None:
        """Note that it is away."""
        if not self._away:
            self._log.warning(f"{self._what}.lost", why=str(why), next="waiting, and going on where it was")
            self._change(1)
        self._away = True

    def clear(self) -> None:
        """Note that it is there."""
        if self._away:
            self._log.info(f"{self._what}.regained")
        self.forget()

    def forget(self) -> None:
        """Miss it no more, whether it is there or not."""
        if self._away:
            self._change(-1)
        self._away = False

    def _change(self, by: int) -> None:
        _away[self._what] += by
        AWAY.labels(self._what).set(_away[self._what])
