"""The page of one act, and what happens when somebody sends it.

What is sent is tried out anew first: what would be refused now is not sent, and the page says so in the bridge's own
words. Nothing is shown as done here; the receipt does that, from history.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple
from uuid import UUID

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contracts.inbound import InboundMessage
from desk.act_fields import Filled, read_fields
from desk.acting import Acting, find_act, open_act
from desk.acts import DESK_SOURCE, log_act, write_act
from desk.approvals_view import write_place
from desk.budget_view import STATUS_WORDS
from desk.forms import Form, name_message
from desk.page import NO_STORE, Page, open_page, read_key, write_link
from desk.send import OutcomeUnknown, Postbox
from desk.sent_acts import SentAct, write_receipt_path
from desk.verdicts import wait_for_verdict
from outbox.verdicts import find_message
from worker.reports.budget_report import find_target

_AGAIN: Final = "again"
"""The field that carries a message of which nobody knows whether it was sent."""


class _Ready(NamedTuple):
    """A message that may be sent."""

    acting: Acting
    message: InboundMessage
    message_id: UUID


async def show_act(request: Request) -> Response:
    """Show what an act would do, whether the bridge would let it, and its form."""
    async with open_page(request) as page:
        acting = await open_act(page, read_key(request), find_act(request.path_params["act"]))
        return _show(acting, acting.write_token())


async def do_act(request: Request) -> Response:
    """Send what somebody has filled in, or say why it was not sent."""
    async with request.form() as data:
        async with open_page(request) as page:
            found = await _prepare(page, data)
        if isinstance(found, Response):
            return found
        return await _send(request, found, data)


async def _prepare(page: Page, data: FormData) -> Response | _Ready:
    """Check everything that can be checked before anything is sent."""
    key, act = read_key(page.request), find_act(page.request.path_params["act"])
    acting = await open_act(page, key, act)
    form = page.services.forms.read(str(data.get("token", "")), page.person.user, key)
    message_id = name_message(form, act.name)
    topics = page.settings.topics
    if await find_message(page.connection, key.project, DESK_SOURCE, str(message_id), None, topics):
        return RedirectResponse(write_receipt_path(key.project, message_id), 303, headers=NO_STORE)
    filled = read_fields(data, act.asks, str(key))
    message = _find_again(page, data, acting) or (None if filled.problems else act.make(acting.case, filled.fields))
    postbox: Postbox = page.request.app.state.postbox
    if message and postbox.find(message_id):
        return _Ready(acting, message, message_id)
    return _refuse(acting, form, filled, data, message) or _Ready(acting, _require(message), message_id)


def _require(message: InboundMessage | None) -> InboundMessage:
    assert message is not None, "what there is nothing to send of was refused"  # noqa: S101 - for mypy
    return message


def _refuse(
    acting: Acting, form: Form, filled: Filled, data: FormData, message: InboundMessage | None
) -> Response | None:
    """Refuse what was seen otherwise, filled in wrongly, not confirmed, or what the bridge would refuse."""
    if form.seen != acting.seen:
        return _show_not_sent(acting, _describe_change(acting, form), "")
    if filled.problems:
        return _show(acting, str(data["token"]), filled, 422)
    would = acting.try_out(message=message) if message else None
    if would is None or not would.is_allowed:
        code = would.refusal.code if would and would.refusal else ""
        sentence = would.sentence if would else "There is nothing that this could be done to."
        return _show_not_sent(acting, sentence, code)
    if acting.act.name == "accept" and acting.total_falls and not data.get("confirmed"):
        return _show(acting, str(data["token"]), filled, confirms=str(data.get("then", "")))
    return None


def _describe_change(acting: Acting, form: Form) -> str:
    if acting.case.version != form.version:
        return f"Version {form.version} has been replaced: version {acting.case.version} is the current one."
    return "The budget has changed since you opened the page, so it is not what you saw."


def _find_again(page: Page, data: FormData, acting: Acting) -> InboundMessage | None:
    """Find the message that may have been sent before, so that it is sent as it was."""
    values = page.services.forms.sent.open(str(data.get(_AGAIN, "")))
    if not values or values.get("token") != data.get("token") or values.get("act") != acting.act.name:
        return None
    return acting.act.sends.model_validate_json(values["message"])


async def _send(request: Request, ready: _Ready, data: FormData) -> Response:
    acting, message, message_id = ready
    page, postbox = acting.page, request.app.state.postbox
    services, settings = page.services, page.settings
    record = write_act(message, message_id, page.person, settings.topics, services.now(), services.key)
    was_sent = postbox.has_sent(message_id)
    try:
        place = await postbox.send(message_id, record)
    except OutcomeUnknown as unknown:
        services.log.warning(
            "act.outcome_unknown",
            message_id=str(message_id),
            budget=str(message.key),
            user=page.person.user,
            why=str(unknown),
        )
        return _show_unknown(acting, message, data, str(unknown))
    if not was_sent:
        log_act(services.log, request, message, message_id, page.person)
    sent = SentAct(acting.key, message_id, acting.act.name, acting.case.version, services.now(), place)
    answer = await wait_for_verdict(services.reader, sent, settings.topics)
    if data.get("then") == "next" and answer and answer.received.verdict == "applied":
        since = acting.case.budget.since
        after = write_place(since, acting.key) if since else None
        last = f"{acting.key.company_id}/{acting.key.project_id}/{message_id}"
        return RedirectResponse(write_link("/next", after=after, last=last), 303, headers=NO_STORE)
    return RedirectResponse(sent.link(services.forms.sent), 303, headers=NO_STORE)


def _show(
    acting: Acting, token: str, filled: Filled | None = None, status_code: int = 200, confirms: str | None = None
) -> Response:
    """Show the form of an act: empty, with what is wrong with it, or once more to be confirmed."""
    would = acting.try_out(filled.fields if filled and not filled.problems else None)
    return acting.page.render(
        "act.html",
        status_code,
        **describe_acting(acting),
        token=token,
        would=would,
        problems=filled.problems if filled else {},
        typed=filled.typed if filled else {},
        confirms=confirms,
    )


def describe_acting(acting: Acting) -> Mapping[str, object]:
    """Describe on what somebody acts, for every page of an act."""
    budget = acting.case.budget
    target = find_target(budget)
    return {
        "acting": acting,
        "act": acting.act,
        "budget": budget,
        "target": target,
        "shown": acting.shown,
        "name": f"Job {target.job_number}" if target else f"Budget {acting.key}",
        "words": STATUS_WORDS[budget.status] if budget.status else "no version was locked yet",
    }


def _show_not_sent(acting: Acting, sentence: str, code: str) -> Response:
    return acting.page.render("not_sent.html", 409, **describe_acting(acting), sentence=sentence, code=code)


def _show_unknown(acting: Acting, message: InboundMessage, data: FormData, why: str) -> Response:
    kept = {"token": data.get("token"), "act": acting.act.name, "message": message.model_dump_json()}
    again = acting.page.services.forms.sent.close(kept)
    fields = [(name, value) for name, value in data.multi_items() if isinstance(value, str) and name != _AGAIN]
    return acting.page.render(
        "send_again.html", 503, **describe_acting(acting), fields=[*fields, (_AGAIN, again)], why=why
    )
