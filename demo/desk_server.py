"""``python -m demo.desk_server``: the desk as ``budget-bridge desk`` runs it, but that one may choose who one is."""

import asyncio
from collections.abc import Sequence

from demo.desk_rules import CHARACTERS
from desk.identity_demo import DemoIdentity, DemoPerson
from desk.seals import read_secrets
from desk.serve import read_clock, serve_desk
from desk.settings import DeskSettings
from worker.settings import read_settings
from worker.telemetry.logs import capture_libraries, configure_log


def serve(people: Sequence[DemoPerson]) -> None:
    """Serve by the environment until the process is ended, with these people to be."""
    settings = read_settings(DeskSettings)
    log = configure_log(settings.log_format)
    capture_libraries(log)
    identity = DemoIdentity(people, read_secrets(settings.desk_secret_file), read_clock, settings.desk_url)
    asyncio.run(serve_desk(settings, identity, log))


if __name__ == "__main__":
    serve([DemoPerson(*one) for one in CHARACTERS])
