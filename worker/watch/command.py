"""``budget-bridge watch``: runs the watch, which needs the extra ``watch``."""

from datetime import timedelta
from typing import Annotated

import typer

from worker.commands.arguments import read_age
from worker.commands.problems import report_problems
from worker.kafka.connection import connect_kafka
from worker.settings import ConfigurationError, WatcherSettings, read_settings
from worker.telemetry.logs import configure_log
from worker.watch.budget_checks import TimeLimits


def watch(
    exported_within: Annotated[
        str, typer.Option(metavar="AGE", help="Longest time from acceptance to export.")
    ] = "60s",
    acknowledged_within: Annotated[
        str, typer.Option(metavar="AGE", help="Longest time from export to Spectrum's answer.")
    ] = "4h",
    pending_within: Annotated[
        str, typer.Option(metavar="AGE", help="Longest time that a budget waits for approval.")
    ] = "7d",
) -> None:
    """Watch the topics from outside and report what is wrong; one process is enough.

    With HTTP_PORT it serves its findings on / and as JSON on /findings.json, /metrics and /health/live.
    """
    limits = TimeLimits(_measure(exported_within), _measure(acknowledged_within), _measure(pending_within))
    with report_problems():
        settings = read_settings(WatcherSettings)
        try:
            from worker.watch.faust_app import WatchSettings, run_watch  # noqa: PLC0415 - Faust is an extra
        except ModuleNotFoundError as missing:
            problem = "the watch needs Faust: install budget-bridge with its extra, `budget-bridge[watch]`"
            raise ConfigurationError((problem,)) from missing
        kafka = connect_kafka(settings)
        run_watch(
            WatchSettings(
                kafka, settings.kafka_group_id, settings.topics, settings.http_bind, settings.http_port, limits
            ),
            configure_log(settings.log_format),
        )


def _measure(age: str) -> int:
    return read_age(age) // timedelta(milliseconds=1)
