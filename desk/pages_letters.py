"""The page of one dead letter, and sending it back to its topic: as it came, and only what would be read now."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from contracts.cloudevents.message import Message
from contracts.fields import read_time, write_time
from contracts.records import Outgoing
from desk.letter_text import describe_letter, judge_letter
from desk.live import Live
from desk.page import NO_STORE, Page, open_page, write_link
from desk.pages_console import read_letter
from desk.send import OutcomeUnknown, Postbox
from outbox.dead_letters import StoredDeadLetter
from outbox.people import PeopleMessage
from outbox.verdicts import find_message


async def show_letter(request: Request) -> Response:
    """Show one dead letter: what is wrong, where it came from, its bytes as far as they are short, what came of it."""
    async with open_page(request) as page:
        letter = await read_letter(page, request.path_params["letter"])
        message = judge_letter(letter, page.settings.topics).message
        sees = message is not None and page.rights.may_see(*message.body.key.project)
        became = await _find(page, message) if message and sees else None
    values = page.services.forms.sent.open(request.query_params.get("sent", "")) or {}
    sent_at = read_time(values["at"]) if values.get("letter") == str(letter.listed.id) else None
    return page.render(
        "dead_letter.html",
        letter=letter,
        text=describe_letter(letter, page.settings.topics),
        token=_write_token(page, letter, message) if message and _may_replay(page, letter, message) else None,
        became=became,
        sent_at=sent_at,
    )


async def replay_letter(request: Request) -> Response:
    """Send one dead letter back to the topic that it came from."""
    async with request.form() as data, open_page(request) as page:
        letter = await read_letter(page, request.path_params["letter"])
        judgement = judge_letter(letter, page.settings.topics)
        message = judgement.message
        if message is None:
            raise HTTPException(409, judgement.says)
        if not _may_replay(page, letter, message):
            raise HTTPException(403, f"Nobody can send to {letter.listed.origin.topic} from this desk in your name.")
        form = page.services.forms.read(str(data.get("token", "")), page.person.user, message.body.key)
        if form.seen != str(letter.listed.id):
            raise HTTPException(409, "This form is of another dead letter.")
    record = Outgoing(letter.listed.origin.topic, letter.key, letter.value, letter.headers)
    postbox: Postbox = request.app.state.postbox
    name = str(letter.listed.id)
    try:
        await postbox.send_all([record])
    except OutcomeUnknown as unknown:
        page.services.log.warning("act.outcome_unknown", message_id=message.id, letter=name, why=str(unknown))
        sentence = (
            f"It is not known whether Kafka has it ({unknown}). Send it again: it is accepted once, however often."
        )
        raise HTTPException(503, sentence) from unknown
    page.services.log.info("letter.replayed", letter=name, message_id=message.id, user=page.person.user)
    seal = page.services.forms.sent.close({"letter": name, "at": write_time(page.services.now())})
    return RedirectResponse(write_link(f"/console/dead-letters/{name}", sent=seal), 303, headers=NO_STORE)


def _may_replay(page: Page, letter: StoredDeadLetter, message: Message) -> bool:
    live: Live = page.request.app.state.live
    topic = page.settings.topics.short(letter.listed.origin.topic)
    return page.rights.may_operate(*message.body.key.project) and live.may_write(topic)


def _write_token(page: Page, letter: StoredDeadLetter, message: Message) -> str:
    return page.services.forms.write(page.person.user, message.body.key, 0, str(letter.listed.id))


async def _find(page: Page, message: Message) -> PeopleMessage | None:
    """Find what became of the message in a letter under its own id: nothing, as long as it could not be read."""
    project = message.body.key.project
    return await find_message(page.connection, project, message.source, message.id, None, page.settings.topics)
