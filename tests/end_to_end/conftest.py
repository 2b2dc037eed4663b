from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.end_to_end.harness import Bridge


@pytest.fixture
async def bridge(tmp_path: Path, kafka: str, database_url: str) -> AsyncIterator[Bridge]:
    """A deployment whose topics and schema are there, and whose worker is not started."""
    opened = Bridge(tmp_path, kafka, database_url)
    await opened.prepare()
    yield opened
    await opened.close()
