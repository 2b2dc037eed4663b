"""``budget-bridge desk``: runs the desk, which needs the extra ``desk``."""

import asyncio

from worker.commands.problems import report_problems
from worker.settings import ConfigurationError, read_settings
from worker.telemetry.logs import capture_libraries, configure_log


def run_desk() -> None:
    """Run the desk: the web page on which people approve budgets and operators look after them.

    It keeps nothing, so any number of them may run. With HTTP_PORT it serves /health and /metrics on a port of its own.
    """
    with report_problems():
        try:
            from desk.serve import serve_desk  # noqa: PLC0415 - its libraries are an extra
            from desk.settings import DeskSettings  # noqa: PLC0415 - it belongs to the same
        except ModuleNotFoundError as missing:
            problem = f"the desk needs {missing.name}: install budget-bridge with its extra, `budget-bridge[desk]`"
            raise ConfigurationError((problem,)) from missing
        settings = read_settings(DeskSettings)
        log = configure_log(settings.log_format)
        capture_libraries(log)
        asyncio.run(serve_desk(settings, log))
