"""``budget-bridge run``: runs the worker."""

import asyncio

from worker.app import run_worker
from worker.commands.problems import report_problems
from worker.rules_in_force import RulesFolder, read_rules_folder
from worker.settings import ConfigurationError, WorkerSettings, read_settings
from worker.telemetry.logs import capture_libraries, configure_log


def run() -> None:
    """Run the worker until SIGTERM or SIGINT.

    It decides by the rules in force. RULES_DIR is needed only until rules are in force: the first start applies it.
    """
    with report_problems():
        settings, folder = read_worker_settings()
        log = configure_log(settings.log_format)
        capture_libraries(log)
        asyncio.run(run_worker(settings, folder, log))


def read_worker_settings() -> tuple[WorkerSettings, RulesFolder]:
    """Read the environment and RULES_DIR.

    Raises:
        ConfigurationError: the environment has problems. Those of RULES_DIR are added, but alone they raise nothing:
            the folder may not be needed.
    """
    folder = read_rules_folder()
    try:
        return read_settings(WorkerSettings), folder
    except ConfigurationError as error:
        raise ConfigurationError((*error.problems, *folder.problems)) from None
