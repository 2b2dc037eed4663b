"""The program of the wheel as the image runs it: another user, in /, on a root where nothing can be written.

``.ci/sealed`` makes such a root. Where the machine does not allow that, these run in / as the user who runs the tests.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from urllib.request import urlopen
from uuid import uuid4
from zipfile import ZipFile

import asyncpg
import pytest
import yaml

from demo.server_process import choose_ports
from tests.packaging.conftest import ROOT, Built

SEALED = ROOT / ".ci" / "sealed"
WITHIN_SECONDS = 60.0
ODD_PASSWORD = "p@ss:w/o?r#d%40 é"


class Image:
    """The wheel, unpacked where user 10001 can read it; third-party packages are those of the tests."""

    def __init__(self, rooms: Path, **environment: str) -> None:
        self._rooms = rooms
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self._environment = kept | environment | {"PYTHONPATH": str(rooms), "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        """Start ``python ARGUMENTS`` with all that it prints in ``log``."""
        with log.open("ab") as output:
            return subprocess.Popen(
                [SEALED, "--with", self._rooms, sys.prefix, "python", *arguments],
                env=self._environment,
                stdout=output,
                stderr=output,
            )

    def run(self, *arguments: str, log: Path) -> str:
        assert self.start(*arguments, log=log).wait(WITHIN_SECONDS) == 0, log.read_text()
        return log.read_text()


@pytest.fixture
def rooms(built: Built, tmp_path: Path) -> Path:
    with ZipFile(built.wheel) as wheel:
        wheel.extractall(tmp_path / "rooms")
    return tmp_path / "rooms"


def test_the_root_is_sealed(rooms: Path, tmp_path: Path) -> None:
    if subprocess.run([SEALED, "--possible"], check=False).returncode:
        pytest.skip("this machine allows no mount namespaces")
    program = (
        "import errno, os, contracts\n"
        "print(os.getuid(), os.getcwd(), contracts.__file__)\n"
        f"print(os.path.exists({str(ROOT / 'pyproject.toml')!r}))\n"
        "for folder in ('/', '/usr', '/etc', '/tmp', os.path.dirname(contracts.__file__)):\n"
        "    try:\n"
        "        open(os.path.join(folder, 'written'), 'w')\n"
        "    except OSError as error:\n"
        "        print(errno.errorcode[error.errno])\n"
    )
    lines = Image(rooms).run("-c", program, log=tmp_path / "log").splitlines()
    assert lines[:2] == [f"10001 / {rooms / 'contracts' / '__init__.py'}", "False"]
    assert lines[2] == "EROFS"
    assert set(lines[2:]) <= {"EROFS", "EACCES", "ENOENT"}
    assert len(lines) == 2 + 5


def test_a_password_with_special_characters_needs_no_escape_in_compose(
    rooms: Path, tmp_path: Path, database_url: str
) -> None:
    environment = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-bridge"]["environment"]
    there, wanted = urlsplit(database_url), urlsplit(environment["DATABASE_URL"])
    assert environment["PGPASSWORD"].startswith("${POSTGRES_PASSWORD:-")
    assert wanted.password is None
    role = f"test_{uuid4().hex[:12]}"
    asyncio.run(make_owner(database_url, role))
    try:
        url = urlunsplit(wanted._replace(netloc=f"{role}@{there.hostname}:{there.port}", path=there.path))
        image = Image(rooms, DATABASE_URL=url, PGPASSWORD=ODD_PASSWORD)
        image.run("-m", "worker", "migrate", log=tmp_path / "log")
    finally:
        asyncio.run(drop_owner(database_url, role))


async def make_owner(url: str, role: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"create role {role} login password '{ODD_PASSWORD}'")
    await connection.execute(f"alter schema public owner to {role}")
    await connection.execute(f'grant create on database "{urlsplit(url).path[1:]}" to {role}')
    await connection.close()


async def drop_owner(url: str, role: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"drop owned by {role} cascade")
    await connection.execute(f"drop role {role}")
    await connection.close()


def test_the_watch_writes_nothing(rooms: Path, tmp_path: Path, kafka: str) -> None:
    [port] = choose_ports(1)
    log = tmp_path / "watch.log"
    prefix = f"t{uuid4().hex[:8]}."
    image = Image(
        rooms,
        KAFKA_BOOTSTRAP=kafka,
        TOPIC_PREFIX=prefix,
        KAFKA_GROUP_ID=f"{prefix}bridge",
        HTTP_PORT=str(port),
        LOG_FORMAT="json",
    )
    image.run("-m", "worker", "topics", "--partitions", "2", log=tmp_path / "topics.log")
    watch = image.start("-m", "worker", "watch", log=log)
    try:
        deadline = time.monotonic() + WITHIN_SECONDS
        while not answers(port):
            assert watch.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(30) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        watch.kill()
        watch.wait()


def answers(port: int) -> bool:
    """Whether the page of findings is there."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/findings.json", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
