"""What every request passes before a page sees it."""

from starlette.middleware import Middleware

from desk.settings import DeskSettings


def make_middleware(settings: DeskSettings) -> list[Middleware]:  # noqa: ARG001 - they come next
    """List what every request passes, the outermost first."""
    return []
