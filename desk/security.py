"""What every request passes before a page sees it, and what every answer carries, errors and files included.

It stands outside of everything else, so that no page can forget a header and no error loses one.
"""

import asyncio
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from desk.session import SAFE_METHODS

MAX_BODY: Final = 65_536
"""Bytes of a request: a hundred selected budgets and a reason of 1,000 characters are a fifth of it."""

BODY_SECONDS: Final = 10.0
"""Longest that a request may take to arrive whole."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types desk"
)
"""Where a page breaks it, the browser logs an error to its console; the tests in Chromium fail on any. No report is
sent: whoever takes reports takes them from everybody."""

_FEATURES: Final = (
    "accelerometer",
    "autoplay",
    "camera",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "publickey-credentials-get",
    "screen-wake-lock",
    "usb",
    "xr-spatial-tracking",
)

_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _FEATURES),
}
_HTTPS_ONLY: Final = {"Strict-Transport-Security": "max-age=31536000"}
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Guard:
    """Checks host, body and origin of each request, and puts the headers on each answer."""

    def __init__(self, app: ASGIApp, url: str) -> None:
        """Take what is guarded, and the origin under which people reach it, such as ``https://desk.example.com``."""
        parts = urlsplit(url)
        self._app = app
        self._origin = url
        self._headers = {**_HEADERS, **(_HTTPS_ONLY if parts.scheme == "https" else {})}
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        self._hosts = {parts.netloc.lower(), f"{parts.hostname}:{port}"}
        if port == _DEFAULT_PORTS[parts.scheme]:
            self._hosts.add(parts.netloc.lower().removesuffix(f":{port}"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                if not _is_kept(scope, message["status"]):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        refusal = self._check_host(scope) or self._check_origin(scope)
        if refusal is None:
            body = await _receive_body(scope, receive)
            if isinstance(body, bytes):
                await self._app(scope, _replay(body, receive), send_with_headers)
                return
            refusal = body
        await refusal(scope, receive, send_with_headers)

    def _check_host(self, scope: Scope) -> PlainTextResponse | None:
        hosts = _list_values(scope, b"host")
        if len(hosts) == 1 and hosts[0].decode("latin-1").lower() in self._hosts:
            return None
        return PlainTextResponse(f"This is not that host. Open {self._origin} instead.\n", 421)

    def _check_origin(self, scope: Scope) -> PlainTextResponse | None:
        if scope["method"] in SAFE_METHODS:
            return None
        site, origin = _list_values(scope, b"sec-fetch-site"), _list_values(scope, b"origin")
        if site == [b"same-origin"] or (not site and origin == [self._origin.encode()]):
            return None
        message = (
            "Nothing was done: this request does not come from a page of the desk, or something on the way has taken "
            f"the headers away that say so. Open {self._origin} and do it there.\n"
        )
        return PlainTextResponse(message, 403)


def _is_kept(scope: Scope, status: int) -> bool:
    """Tell the files that have a hash in their name from what has data."""
    return scope["path"].startswith("/static/") and status in {200, 304}


def _list_values(scope: Scope, name: bytes) -> list[bytes]:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value for key, value in headers if key.lower() == name]


async def _receive_body(scope: Scope, receive: Receive) -> bytes | PlainTextResponse:
    """Receive the whole body, however it is sent; an answer if it is too long or too slow."""
    too_long = PlainTextResponse(f"Nothing was done: more than {MAX_BODY} bytes were sent.\n", 413)
    lengths = _list_values(scope, b"content-length")
    if lengths and (not lengths[0].isdigit() or len(lengths[0]) > len(str(MAX_BODY)) or int(lengths[0]) > MAX_BODY):
        return too_long
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return PlainTextResponse("Nothing was done: the request ended half way.\n", 400)
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_BODY:
                    return too_long
    except TimeoutError:
        return PlainTextResponse("Nothing was done: the request did not arrive in time. Send it again.\n", 408)
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand out the body that was received, and then whatever comes after it."""
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return whole.pop() if whole else await receive()

    return receive_again
