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
"""Characters of the bytes that a page shows."""


class LetterText(NamedTuple):
    """A dead letter in words."""

    form: str
    """``JSON``, ``text``, ``bytes in hexadecimal`` or ``nothing``."""
    text: str
    left_out: int
    """How many characters are not shown."""
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
    form, text = _decode(letter.value)
    headers = tuple((name, (value or b"").decode("utf-8", "backslashreplace")) for name, value in letter.headers)
    return LetterText(
        form,
        text[:SHOWN],
        max(len(text) - SHOWN, 0),
        len(letter.value or b""),
        headers,
        judge_letter(letter, topics).says,
    )


def _decode(value: bytes | None) -> tuple[str, str]:
    if not value:
        return "nothing", ""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return "bytes in hexadecimal", value[:SHOWN].hex(" ")
    try:
        return "JSON", json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "text", text


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
