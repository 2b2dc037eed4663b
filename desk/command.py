"""``budget-bridge desk``: runs the desk, which needs the extra ``desk``."""

import asyncio

from worker.commands.problems import report_problems
from worker.settings import ConfigurationError
from worker.telemetry.logs import capture_libraries, configure_log


def run_desk() -> None:
    """Run the desk: the web page on which people approve budgets and operators look after them.

    It keeps nothing, so any number of them may run. With HTTP_PORT it serves /health and /metrics on a port of its own.
    """
    with report_problems():
        try:
            from desk.doors import make_identity  # noqa: PLC0415 - it belongs to the same
            from desk.serve import read_clock, serve_desk  # noqa: PLC0415 - its libraries are an extra
            from desk.settings import read_desk_settings  # noqa: PLC0415 - this too
        except ModuleNotFoundError as missing:
            problem = f"the desk needs {missing.name}: install budget-bridge with its extra, `budget-bridge[desk]`"
            raise ConfigurationError((problem,)) from missing
        settings, identity = read_desk_settings()
        log = configure_log(settings.log_format)
        capture_libraries(log)
        asyncio.run(serve_desk(settings, make_identity(settings, identity, read_clock, log), log))
