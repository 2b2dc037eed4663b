"""The bytes of a dead letter for people, and what the contracts of today would make of them."""

import json
from typing import Final, NamedTuple

from contracts.cloudevents.message import Message
from contracts.cloudevents.reading import read_message
from contracts.records import Record
from contracts.topics import TopicNames
from outbox.dead_letters import StoredDeadLetter
from outbox.replay import REPLAYABLE, find_obstacle

SHOWN: Final = 4000
"""Characters of the bytes, and of each header, that a page shows."""

_MOST_LAID_OUT: Final = 1_000_000
"""Bytes of JSON that are laid out; a letter may have 16 MB, and while it is parsed no other page is answered."""


class LetterText(NamedTuple):
    """A dead letter in words."""

    form: str
    """``JSON``, ``text``, ``bytes in hexadecimal`` or ``nothing``."""
    text: str
    is_cut: bool
    """Whether there is more than what is shown."""
    size: int
    """Of the value, in bytes."""
    headers: tuple[tuple[str, str], ...]
    today: str
    """What would become of it now, or what to do instead of sending it again."""


def describe_letter(letter: StoredDeadLetter, topics: TopicNames) -> LetterText:
    """Describe a dead letter.

    Args:
        letter: with its bytes.
        topics: how the topics of this deployment are named.
    """
    value = letter.value or b""
    form, text = _decode(value)
    headers = tuple((name, _decode_header(content)) for name, content in letter.headers)
    return LetterText(
        form,
        text[:SHOWN],
        len(text) > SHOWN,
        len(value),
        headers,
        judge_letter(letter, topics).says,
    )


def _decode_header(content: bytes | None) -> str:
    return (content or b"")[: SHOWN * 4].decode("utf-8", "backslashreplace")[:SHOWN]


def _decode(value: bytes) -> tuple[str, str]:
    """Decode at least as much of a value as is shown, and name the form in which it is."""
    if not value:
        return "nothing", ""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return "bytes in hexadecimal", value[:SHOWN].hex(" ")
    if len(value) > _MOST_LAID_OUT:
        return "text", text
    try:
        laid_out = _lay_out(json.loads(text))
    except (ValueError, RecursionError):
        return "text", text
    # Half of a surrogate pair is JSON and no UTF-8, in which the page is sent.
    return "JSON", laid_out.encode("utf-8", "backslashreplace").decode()


def _lay_out(values: object) -> str:
    """Lay JSON out as far as it is shown: deeply nested, the whole could be a thousand times as long."""
    text = ""
    for piece in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(values):
        text += piece
        if len(text) > SHOWN:
            break
    return text


class Judgement(NamedTuple):
    """What would become of a dead letter that was sent back to its topic now."""

    message: Message | None
    """As it would be read; ``None`` where it must not be sent back, or would be set aside again."""
    says: str
    """The same in words, or what to do instead."""


def judge_letter(letter: StoredDeadLetter, topics: TopicNames) -> Judgement:
    """Judge what would become of a letter that was sent back to its topic now.

    Args:
        letter: with its bytes.
        topics: how the topics of this deployment are named.
    """
    listed = letter.listed
    if listed.reason not in REPLAYABLE:
        sentence = (
            "Its message id is used up, so it cannot be sent again as it is: whoever sent it has to correct it and "
            "send it under a new id."
        )
        return Judgement(None, sentence)
    if obstacle := find_obstacle(letter, topics.sources):
        return Judgement(None, f"It cannot be sent again: {obstacle}.")
    record = Record(listed.origin, 0, letter.key, letter.value, letter.headers)
    message = read_message(topics.short(listed.origin.topic), record)
    if isinstance(message, Message):
        return Judgement(message, f"It would be read now, as {message.body.type} of budget {message.body.key}.")
    return Judgement(None, f"It would still be {message.reason}: {message.detail}")
