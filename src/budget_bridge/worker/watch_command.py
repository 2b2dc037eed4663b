"""The command that runs the watch; it needs the extra ``watch``."""

import re
from typing import Annotated, Final

import typer

from budget_bridge.worker.asking import tell_problems
from budget_bridge.worker.log import configure_log
from budget_bridge.worker.run import connect_kafka
from budget_bridge.worker.settings import ConfigurationBroken, WatcherSettings, read_settings
from budget_bridge.worker.watch_witness import Limits

_SPAN: Final = re.compile(r"([0-9]+)([smhd])")
_UNIT_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def watch(
    exported_within: Annotated[str, typer.Option(help="From acceptance to export.")] = "60s",
    acknowledged_within: Annotated[str, typer.Option(help="From export to Spectrum's answer.")] = "4h",
    pending_within: Annotated[str, typer.Option(help="That a budget may wait for its approval.")] = "7d",
) -> None:
    """Watch the topics from outside, and say what is not as it should be; a process of its own, one is enough.

    With HTTP_PORT: a page of its findings on /, the same as JSON on /findings.json, and /metrics.
    """
    limits = Limits(_read_span(exported_within), _read_span(acknowledged_within), _read_span(pending_within))
    with tell_problems():
        settings = read_settings(WatcherSettings)
        try:
            from budget_bridge.worker.watch import WatchSettings, run_watch  # noqa: PLC0415 - Faust is an extra
        except ModuleNotFoundError as missing:
            problem = "the watch needs Faust: install budget-bridge with its extra, `budget-bridge[watch]`"
            raise ConfigurationBroken((problem,)) from missing
        kafka = connect_kafka(settings)
        run_watch(
            WatchSettings(kafka, settings.kafka_group_id, settings.topic_prefix, settings.http_port, limits),
            configure_log(settings.log_format),
        )


def _read_span(text: str) -> int:
    """Read a span of time, such as 90s, 15m, 4h or 7d, in milliseconds."""
    found = _SPAN.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no span of time; such as 90s, 15m, 4h or 7d are")
    return int(found[1]) * _UNIT_MS[found[2]]
