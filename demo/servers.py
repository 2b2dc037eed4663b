"""``python -m demo.servers``: Kafka and PostgreSQL in the foreground, for trying things by hand."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from demo.kafka_server import run_kafka
from demo.postgres_server import run_postgres


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m demo.servers",
        description="Run Kafka and PostgreSQL until Ctrl-C.",
    )
    parser.add_argument("--folder", type=Path, help="keep the data here (by default it is deleted)")
    folder: Path | None = parser.parse_args().folder

    def print_progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    with (
        suppress(KeyboardInterrupt),
        tempfile.TemporaryDirectory(prefix="budget-bridge-") as temporary,
        run_postgres((folder or Path(temporary)) / "postgres", print_progress) as postgres,
        run_kafka((folder or Path(temporary)) / "kafka", print_progress) as kafka,
    ):
        print(f"KAFKA_BOOTSTRAP={kafka.bootstrap}")  # noqa: T201
        print(f"DATABASE_URL={postgres.url}", flush=True)  # noqa: T201
        print_progress("Ctrl-C stops both.")
        threading.Event().wait()


if __name__ == "__main__":
    _main()
