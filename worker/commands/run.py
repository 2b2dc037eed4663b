"""``budget-bridge run``: runs the worker."""

import asyncio

from handlers.rules import Rules
from worker.app import run_worker
from worker.commands.shared import tell_problems
from worker.rules_files import read_rules
from worker.settings import (
    ConfigurationError,
    RulesSettings,
    WorkerSettings,
    read_settings,
)
from worker.telemetry.logs import configure_log


def run() -> None:
    """Run the worker until SIGTERM or SIGINT."""
    with tell_problems():
        settings, rules = read_worker_settings()
        asyncio.run(run_worker(settings, rules, configure_log(settings.log_format)))


def read_worker_settings() -> tuple[WorkerSettings, Rules]:
    """Read environment and rules; raises ``ConfigurationBroken`` with the problems of both."""
    problems: list[str] = []
    try:
        settings = read_settings(WorkerSettings)
    except ConfigurationError as broken:
        problems.extend(broken.problems)
    try:
        rules = read_rules(read_settings(RulesSettings).rules_dir)
    except ConfigurationError as broken:
        # A folder that is missing was told with the other settings.
        problems.extend(problem for problem in broken.problems if problem not in problems)
    if problems:
        raise ConfigurationError(tuple(problems))
    return settings, rules
