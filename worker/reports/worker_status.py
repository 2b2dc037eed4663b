"""Asks workers for their readiness over HTTP: what only a worker itself knows."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any, Final, NamedTuple

_TIMEOUT_SECONDS: Final = 3.0


class WorkerState(NamedTuple):
    """What one worker reports."""

    url: str
    answers: bool
    ready: bool
    version: str
    """Of budget-bridge; empty where unknown."""
    kafka: str
    """The state of its breaker: closed, open or probing; empty where unknown."""
    database: str
    silent: tuple[str, ...]
    """Its stalled consumers."""


async def ask_workers(addresses: Sequence[str]) -> tuple[WorkerState, ...]:
    """Ask workers in parallel.

    Args:
        addresses: of their HTTP ports, such as ``127.0.0.1:8081`` or ``http://worker-1:8081``.

    Returns:
        The state of each, also of those that do not answer.
    """
    return tuple(await asyncio.gather(*(asyncio.to_thread(_ask, _write_url(address)) for address in addresses)))


def _write_url(address: str) -> str:
    return (address if "://" in address else f"http://{address}").rstrip("/")


def _ask(url: str) -> WorkerState:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - an operator's own URL
            answer = _read(response.read())
    except urllib.error.HTTPError as not_ready:
        with not_ready:
            answer = _read(not_ready.read())
    except (OSError, ValueError, HTTPException):
        answer = None
    if answer is None:
        return WorkerState(url, answers=False, ready=False, version="", kafka="", database="", silent=())
    breakers = answer.get("breakers", {})
    return WorkerState(
        url,
        answers=True,
        ready=bool(answer.get("ready")),
        version=answer.get("version", ""),
        kafka=breakers.get("kafka", ""),
        database=breakers.get("database", ""),
        silent=tuple(answer.get("silent", ())),
    )


def _read(text: bytes) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
