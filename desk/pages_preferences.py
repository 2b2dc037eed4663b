"""What people choose for themselves: the time zone, and whether single keys act. The browser keeps it."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from desk.page import NO_STORE, open_page
from desk.preferences import KEPT_SECONDS, KEYS, OFF, ZONE, is_zone, list_zones
from desk.sign_in import choose_next


async def show_preferences(request: Request) -> Response:
    """Show what can be chosen."""
    async with open_page(request) as page:
        return page.render("preferences.html", zones=list_zones(), next=choose_next(request.query_params.get("next")))


async def keep_preferences(request: Request) -> Response:
    """Keep what was chosen, and go back."""
    async with request.form() as form:
        zone, keys, wanted = str(form.get("zone", "")), str(form.get("keys", "")), str(form.get("next", ""))
    response = RedirectResponse(choose_next(wanted), 303, headers=NO_STORE)
    # TLS is ended before the desk, so the request itself does not know.
    secure = request.app.state.settings.desk_url.startswith("https:")
    if is_zone(zone):
        response.set_cookie(ZONE, zone, KEPT_SECONDS, secure=secure, httponly=True, samesite="lax")
    response.set_cookie(KEYS, "" if keys else OFF, KEPT_SECONDS, secure=secure, httponly=True, samesite="lax")
    return response
