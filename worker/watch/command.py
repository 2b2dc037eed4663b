"""The command that runs the watch; it needs the extra ``watch``."""

from datetime import timedelta
from typing import Annotated

import typer

from worker.commands.arguments import read_age
from worker.commands.problems import report_problems
from worker.kafka.connection import connect_kafka
from worker.settings import ConfigurationError, WatcherSettings, read_settings
from worker.telemetry.logs import configure_log
from worker.watch.judgement import Limits


def watch(
    exported_within: Annotated[str, typer.Option(metavar="AGE", help="From acceptance to export.")] = "60s",
    acknowledged_within: Annotated[str, typer.Option(metavar="AGE", help="From export to Spectrum's answer.")] = "4h",
    pending_within: Annotated[str, typer.Option(metavar="AGE", help="That a budget may wait for its approval.")] = "7d",
) -> None:
    """Watch the topics from outside, and say what is not as it should be; a process of its own, one is enough.

    With HTTP_PORT: a page of its findings on /, the same as JSON on /findings.json, and /metrics.
    """
    limits = Limits(_measure(exported_within), _measure(acknowledged_within), _measure(pending_within))
    with report_problems():
        settings = read_settings(WatcherSettings)
        try:
            from worker.watch.app import WatchSettings, run_watch  # noqa: PLC0415 - Faust is an extra
        except ModuleNotFoundError as missing:
            problem = "the watch needs Faust: install budget-bridge with its extra, `budget-bridge[watch]`"
            raise ConfigurationError((problem,)) from missing
        kafka = connect_kafka(settings)
        run_watch(
            WatchSettings(kafka, settings.kafka_group_id, settings.topics, settings.http_port, limits),
            configure_log(settings.log_format),
        )


def _measure(age: str) -> int:
    return read_age(age) // timedelta(milliseconds=1)
