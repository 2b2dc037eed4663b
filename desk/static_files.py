"""Serves the desk's own style sheet and scripts under names that change with their content."""

import hashlib
from importlib.resources import files
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_FOR_GOOD: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_HASH_DIGITS: Final = 12


class StaticFile(NamedTuple):
    """One file, as it is served."""

    content: bytes
    media_type: str


def _read_files() -> tuple[dict[str, str], dict[str, StaticFile]]:
    names, served = {}, {}
    for file in (files(__package__) / "static").iterdir():
        stem, _, ending = file.name.rpartition(".")
        if ending in _TYPES:
            content = file.read_bytes()
            hashed = f"{stem}.{hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]}.{ending}"
            names[file.name] = hashed
            served[hashed] = StaticFile(content, _TYPES[ending])
    return names, served


_NAMES, _SERVED = _read_files()


def name_static(name: str) -> str:
    """Name the path of a file, such as ``/static/desk.0123456789ab.css``."""
    return f"/static/{_NAMES[name]}"


async def serve_static(request: Request) -> Response:
    """Serve one file; an earlier content has another name, so that no browser mixes two versions of the desk."""
    file = _SERVED.get(request.path_params["name"])
    if file is None:
        raise HTTPException(404)
    return Response(file.content, media_type=file.media_type, headers=_FOR_GOOD)
