"""One act on many budgets: what would become of each, sending it, and what became of each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from desk.act_fields import read_fields
from desk.acts import DESK_SOURCE, log_act, write_act
from desk.budget_view import STATUS_WORDS
from desk.forms import name_message
from desk.operations import (
    NO_BUDGET,
    Operation,
    Target,
    find_operation_act,
    read_keys,
    read_operation,
    try_all,
)
from desk.page import NO_STORE, Page, open_page, require_operator
from desk.send import OutcomeUnknown, Postbox
from outbox.verdicts import Answer, find_verdicts


async def show_new(request: Request) -> Response:
    """Show what would become of an act on each of the chosen budgets, and the form that sends it."""
    query = request.query_params
    async with open_page(request) as page:
        require_operator(page)
        act, keys = find_operation_act(query.get("act", "")), read_keys(query.getlist("budget"))
        tried = await try_all(page, act, keys)
    token = page.services.forms.write(page.person.user, NO_BUDGET, 0, act.name)
    return _show_new(page, act=act, tried=tried, token=token, left=len(keys) - len(tried))


def _show_new(page: Page, status_code: int = 200, **values: Any) -> Response:
    words = {status.value: words for status, words in STATUS_WORDS.items()}
    shown: dict[str, Any] = {"problems": {}, "typed": {}, "words": words} | values
    return page.render("operation_new.html", status_code, **shown)


async def begin(request: Request) -> Response:
    """Send the act for each chosen budget that is as it was seen, and for which it would be applied."""
    async with request.form() as data, open_page(request) as page:
        require_operator(page)
        act = find_operation_act(str(data.get("act", "")))
        form = page.services.forms.read(str(data.get("token", "")), page.person.user, NO_BUDGET)
        if form.seen != act.name:
            raise HTTPException(409, "This form is of another act.")
        chosen = [str(one).partition(" ") for one in data.getlist("budget")]
        keys = read_keys([key for key, _, _ in chosen])
        seen = dict(zip(keys, (digest for _, _, digest in chosen), strict=False))
        tried = await try_all(page, act, keys)
        filled = read_fields(data, frozenset({"reason"}), "")
        if filled.problems:
            values = {"act": act, "tried": tried, "token": str(data["token"]), "left": len(keys) - len(tried)}
            return _show_new(page, 422, problems=filled.problems, typed=filled.typed, **values)
        sendable = [
            Target(key, one.version) for key, one in tried.items() if one.would.is_allowed and one.seen == seen[key]
        ]
        operation = Operation(
            name_message(form, act.name),
            act,
            page.person.user,
            filled.fields.reason,
            page.now,
            tuple(sendable),
            len(keys) - len(sendable),
        )
    return await _send(request, page, operation, operation.targets)


async def send_again(request: Request) -> Response:
    """Send again what history does not have yet: the same messages under the same ids."""
    async with request.form() as data, open_page(request) as page:
        require_operator(page)
        operation = read_operation(page.services.forms.sent, str(data.get("of", "")), request.path_params["id"])
        if not operation.may_send_again(page.person.user, page.now):
            sentence = f"Only {operation.user}, in whose name it was sent, can send it again, and only within 8 hours."
            raise HTTPException(403, sentence)
        answers = await _find_answers(page, operation)
        lacking = [target for target, answer in answers.items() if answer is None]
        tried = await try_all(page, operation.act, [target.key for target in lacking])
    return await _send(request, page, operation, [target for target in lacking if target.key in tried])


async def _send(request: Request, page: Page, operation: Operation, targets: Sequence[Target]) -> Response:
    services, settings = page.services, page.settings
    messages = {target: operation.make_message(target) for target in targets}
    records = [
        write_act(
            message, operation.name_message(target.key), page.person, settings.topics, services.now(), services.key
        )
        for target, message in messages.items()
    ]
    postbox: Postbox = request.app.state.postbox
    is_unknown = False
    try:
        await postbox.send_all(records)
    except OutcomeUnknown as unknown:
        is_unknown = True
        services.log.warning(
            "act.outcome_unknown",
            operation=str(operation.id),
            messages=len(records),
            user=page.person.user,
            why=str(unknown),
        )
    else:
        for target, message in messages.items():
            log_act(services.log, request, message, operation.name_message(target.key), page.person)
    sent = replace(operation, is_unknown=is_unknown)
    return RedirectResponse(sent.link(services.forms.sent), 303, headers=NO_STORE)


async def show_operation(request: Request) -> Response:
    """Show what became of each message of an operation, from history."""
    async with open_page(request) as page:
        require_operator(page)
        of = request.query_params.get("of", "")
        operation = read_operation(page.services.forms.sent, of, request.path_params["id"])
        answers = await _find_answers(page, operation)
    seen = {target: answer for target, answer in answers.items() if page.rights.may_operate(*target.key.project)}
    counts = Counter(answer.verdict if answer else "not decided yet" for answer in seen.values())
    return page.render(
        "operation.html",
        made_of=(operation.id, sorted(counts.items())),
        operation=operation,
        answers=seen,
        counts=counts,
        lacking=counts["not decided yet"],
        of=of,
    )


async def _find_answers(page: Page, operation: Operation) -> dict[Target, Answer | None]:
    wanted = {target: (*target.key.project, str(operation.name_message(target.key))) for target in operation.targets}
    found = await find_verdicts(page.connection, DESK_SOURCE, wanted.values()) if wanted else {}
    return {target: found.get(name) for target, name in wanted.items()}
