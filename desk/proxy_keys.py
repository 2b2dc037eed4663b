"""The public keys with which a proxy signs its tokens: in a file, or behind a URL, from where they are kept a while."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from desk.changing_file import ChangingFile
from desk.identity import ProviderUnavailable
from worker.telemetry.logs import Logger

FETCH_SECONDS: Final = 5.0

FRESH: Final = timedelta(minutes=10)
"""How long keys are used without asking again."""

LONGEST_KEPT: Final = timedelta(hours=1)
"""How long they are used while they cannot be fetched again: a key that was taken back counts no longer than that."""

FETCHED_AT_MOST: Final = timedelta(seconds=30)
"""How often tokens with an unknown key cause a fetch, whoever sends them."""


class ProxyKeys(Protocol):
    """Where the keys are."""

    async def get(self) -> KeySet:
        """Return the keys.

        Raises:
            ProviderUnavailable: they cannot be read.
        """

    async def get_newest(self) -> KeySet:
        """Return the keys for a token whose key was not among them; raises as ``get``."""


class KeysInFile:
    """Keys in a file, which is read again when it has changed."""

    def __init__(self, file: Path) -> None:
        self._file = ChangingFile(file, read_keys)

    async def get(self) -> KeySet:
        """Return what the file holds now."""
        try:
            return self._file.get()
        except ValueError as error:
            raise ProviderUnavailable(f"The keys of the proxy cannot be read: {error}.") from error

    async def get_newest(self) -> KeySet:
        """Return what the file holds now."""
        return await self.get()


class KeysBehindUrl:
    """Keys behind a URL."""

    def __init__(self, url: str, now: Callable[[], datetime], log: Logger) -> None:
        self._url, self._now, self._log = url, now, log
        self._keys: KeySet | None = None
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._fetching = asyncio.Lock()

    async def get(self) -> KeySet:
        """Return the keys, fetched again after a while."""
        return await self._get(FRESH)

    async def get_newest(self) -> KeySet:
        """Return keys that are fetched again, unless they just were."""
        return await self._get(FETCHED_AT_MOST)

    async def _get(self, longest: timedelta) -> KeySet:
        async with self._fetching:
            if not self._is_within(self._fetched_at, longest) and not self._is_within(self._tried_at, FETCHED_AT_MOST):
                await self._fetch()
        if self._keys is None or not self._is_within(self._fetched_at, LONGEST_KEPT):
            raise ProviderUnavailable(f"{self._url}, with the keys of the proxy, does not answer as it should.")
        return self._keys

    def _is_within(self, at: datetime | None, length: timedelta) -> bool:
        return at is not None and self._now() - at <= length

    async def _fetch(self) -> None:
        self._tried_at = self._now()
        try:
            async with asyncio.timeout(FETCH_SECONDS), httpx2.AsyncClient() as client:
                answer = (await client.get(self._url)).raise_for_status()
            self._keys = parse_keys(answer.content)
        except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            self._log.warning("proxy_keys.unavailable", url=self._url, error=repr(error))
        else:
            self._fetched_at = self._tried_at


def read_keys(file: Path) -> KeySet:
    """Read a file of keys.

    Raises:
        ValueError: it cannot be read, or is no set of keys.
    """
    try:
        return parse_keys(file.read_bytes())
    except OSError as error:
        message = f"{file} cannot be read ({error.strerror})"
        raise ValueError(message) from None


def parse_keys(text: bytes) -> KeySet:
    """Read a set of JSON Web Keys.

    Raises:
        ValueError: it is none.
    """
    try:
        keys = KeySet.import_key_set(json.loads(text))
    except (JoseError, KeyError, TypeError, AttributeError) as error:
        message = f"it is no set of JSON Web Keys ({error!r})"
        raise ValueError(message) from None
    if not keys.keys:
        message = "it is a set of JSON Web Keys without any"
        raise ValueError(message)
    return keys
