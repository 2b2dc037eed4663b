"""Asks workers how they are, over their HTTP port: what waits for what is known to them alone."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

_WITHIN_SECONDS: Final = 3.0


class WorkerState(NamedTuple):
    """What one worker says of itself."""

    url: str
    answers: bool
    ready: bool
    kafka: str
    """Its breaker: closed, open or probing; empty where it does not say."""
    database: str
    silent: tuple[str, ...]


async def ask_workers(urls: Sequence[str]) -> tuple[WorkerState, ...]:
    """Ask each worker, side by side."""
    return tuple(await asyncio.gather(*(asyncio.to_thread(_ask, url) for url in urls)))


def _ask(url: str) -> WorkerState:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health/ready", timeout=_WITHIN_SECONDS) as answer:  # noqa: S310 - an operator's own URL
            said = _read(answer.read())
    except urllib.error.HTTPError as not_ready:
        with not_ready:
            said = _read(not_ready.read())
    except (OSError, ValueError):
        said = None
    if said is None:
        return WorkerState(url, answers=False, ready=False, kafka="", database="", silent=())
    breakers = said.get("breakers", {})
    return WorkerState(
        url,
        answers=True,
        ready=bool(said.get("ready")),
        kafka=breakers.get("kafka", ""),
        database=breakers.get("database", ""),
        silent=tuple(said.get("silent", ())),
    )


def _read(text: bytes) -> dict[str, Any] | None:
    try:
        said: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return said
