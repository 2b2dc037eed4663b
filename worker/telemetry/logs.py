"""What the worker logs while it runs: events in the past tense, for a person or as JSON lines."""

import logging
import sys
from typing import Literal

import structlog

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
