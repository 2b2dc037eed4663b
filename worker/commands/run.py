"""``budget-bridge run``: runs the worker."""

import asyncio

from handlers.rules import Rules
from worker.app import run_worker
from worker.commands.problems import report_problems
from worker.rules_files import read_rules
from worker.settings import ConfigurationError, RulesSettings, WorkerSettings, read_settings
from worker.telemetry.logs import configure_log


def run() -> None:
    """Run the worker until SIGTERM or SIGINT."""
    with report_problems():
        settings, rules = read_worker_settings()
        asyncio.run(run_worker(settings, rules, configure_log(settings.log_format)))


def read_worker_settings() -> tuple[WorkerSettings, Rules]:
    """Read environment and rules.

    Raises:
        ConfigurationError: the problems of both.
    """
    problems: list[str] = []
    try:
        settings = read_settings(WorkerSettings)
    except ConfigurationError as broken:
        problems.extend(broken.problems)
    try:
        rules = read_rules(read_settings(RulesSettings).rules_dir)
    except ConfigurationError as broken:
        # A missing folder is among the problems of the settings already.
        problems.extend(problem for problem in broken.problems if problem not in problems)
    if problems:
        raise ConfigurationError(tuple(problems))
    return settings, rules
