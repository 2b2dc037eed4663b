"""Stands in for the templates until they come."""

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response


def render(request: Request, name: str, **values: Any) -> Response:
    """Render."""
    return PlainTextResponse(f"{name} {values} {request.url.path}")
