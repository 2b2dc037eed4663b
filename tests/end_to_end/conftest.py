from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.end_to_end.harness import Bridge
from tests.exactly_once.deployment import RunningDeployment


@pytest.fixture
async def bridge(tmp_path: Path, kafka: str, database_url: str) -> AsyncIterator[Bridge]:
    """A deployment whose topics and schema are there, and whose worker is not started.

    Whatever a test did with it: in the end everything that was carried was carried exactly once.
    """
    opened = Bridge(tmp_path, kafka, database_url)
    await opened.prepare()
    try:
        yield opened
        if opened.is_sound:
            findings = await opened.reconcile()
            assert findings.are_clean, findings.first
    finally:
        await opened.close()


@pytest.fixture
async def deployment(tmp_path: Path, kafka: str, database_url: str) -> AsyncIterator[RunningDeployment]:
    """A deployment whose workers can have something planted in them."""
    opened = RunningDeployment(tmp_path, kafka, database_url)
    await opened.prepare()
    yield opened
    await opened.close()
