"""What the worker logs while it runs: events in the past tense, for a person or as JSON lines."""

import atexit
import json
import logging
import sys
from typing import Final, Literal

import structlog

from worker.console import escape_text
from worker.telemetry.log_writer import LogWriter

Logger = structlog.typing.FilteringBoundLogger

_JSON: Final = json.JSONEncoder(default=repr)

CLOSE_SECONDS: Final = 1.0
"""Longest that the last lines may take to be written when the process ends."""


class _LibraryLog(logging.Handler):
    """Logs what libraries warn of; on the error output it would wait for whoever reads that."""

    def __init__(self, log: Logger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record of a library; a mistake in it is not raised, which could end a task of the library."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            text = f"{record.msg} {record.args}"
        self._log.warning("library.logged", library=record.name, text=text, exc_info=record.exc_info)


def _make_harmless(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape what could control a terminal or hide text: ids and reasons come from other people."""
    return {name: escape_text(value, keep="\n\t") if isinstance(value, str) else value for name, value in event.items()}


def configure_log(log_format: Literal["console", "json"]) -> Logger:
    """Set up logging to the standard output for this process, and return its logger."""
    processors = _choose_processors(log_format)

    def describe_lost(lines: int) -> str:
        return _render(processors, {"event": "log.lines_lost", "lines": lines})

    writer = LogWriter(sys.stdout.fileno(), sys.stdout.encoding or "utf-8", describe_lost)
    atexit.register(writer.close, CLOSE_SECONDS)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    logger: Logger = structlog.get_logger()
    return logger


def capture_libraries(log: Logger) -> None:
    """Log what libraries warn of, instead of writing it to the error output."""
    logging.getLogger().addHandler(_LibraryLog(log))


def _render_json(_: object, __: str, event: structlog.typing.EventDict) -> str:
    return _JSON.encode(event)


def _choose_processors(log_format: Literal["console", "json"]) -> list[structlog.typing.Processor]:
    renderer: structlog.typing.Processor = (
        _render_json if log_format == "json" else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        *(() if log_format == "json" else (_make_harmless,)),
        renderer,
    ]


def _render(processors: list[structlog.typing.Processor], event: structlog.typing.EventDict) -> str:
    rendered: object = event
    for processor in processors:
        rendered = processor(None, "warning", rendered)  # type: ignore[arg-type]  # only the last one's is no event
    return f"{rendered}\n"
