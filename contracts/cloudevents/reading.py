"""Reads the message in a record, in CloudEvents' binary or structured mode.

A record that holds no message becomes a value that says what is wrong and where; nothing raises.
"""

import re
from contextlib import suppress
from typing import Final, Literal, cast

from pydantic import ValidationError

from contracts.body import Inbound
from contracts.cloudevents.message import Message, Unreadable
from contracts.cloudevents.trace_context import read_trace
from contracts.cloudevents.writing import DEADLINES_SOURCE, SOURCE
from contracts.fields import Identifier, Value, describe_value
from contracts.inbound import InboundMessage
from contracts.json_text import may_have_more_values, parse_json
from contracts.records import Headers, Record, fold_headers
from contracts.stubs import read_stub
from contracts.topics import COMMANDS, SOURCES

MAX_ATTRIBUTE_BYTES: Final = 1000
"""Longest ``id`` and ``source``: together with the project they are a database key, whose limit is 2,704 bytes."""

_OWN_SOURCES: Final = frozenset({SOURCE, DEADLINES_SOURCE})

# CloudEvents 1.0, "Type System": these may not be in a string attribute.
_FORBIDDEN_IN_ATTRIBUTE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef]")
_SHOWN_PROBLEMS: Final = 20
_MAX_FAST_VALUES: Final = 50_000
"""Values up to which pydantic's own parser is used, which is four times as fast, but takes up to 500 bytes a value."""


class _WrongError(Exception):
    def __init__(self, detail: str, reason: Literal["unreadable", "unknown_type"] = "unreadable") -> None:
        super().__init__(detail)
        self.unreadable = Unreadable(reason, detail)


class _Keys(Value):
    company_id: Identifier
    project_id: Identifier


class _KeysOfEvent(Value):
    data: _Keys


def read_message(topic: str, record: Record) -> Message | Unreadable:
    """Read the message in a record.

    Args:
        topic: the topic that the record was first read from, by its name in the contract, without prefix.
        record: the record.
    """
    if why := read_stub(record.headers):
        return Unreadable("unreadable", why)
    try:
        attributes, data = _open_event(record)
        model = _find_model(topic, attributes)
        source, message_id = _read_source(topic, attributes), _read_attribute("id", attributes.get("id"))
        body = cast("InboundMessage", _read_body(model, data))
    except ValidationError as error:
        return Unreadable("unreadable", _describe(error))
    except _WrongError as wrong:
        return wrong.unreadable
    return Message(source, message_id, body, read_trace(record.headers), record.place)


def read_project(record: Record) -> tuple[int, int] | None:
    """Read only the company and the project of a record; ``None`` if they cannot be found.

    It may accept an object that ``read_message`` refuses, or the reverse, so whoever relies on both compares them.
    """
    value = record.value or b""
    model = _KeysOfEvent if is_structured(fold_headers(record.headers)) else _Keys
    try:
        if may_have_more_values(value, _MAX_FAST_VALUES):
            keys = model.model_validate(parse_json(value))
        else:
            keys = model.model_validate_json(value)
    except ValueError:
        return None
    found = keys.data if isinstance(keys, _KeysOfEvent) else keys
    return found.company_id, found.project_id


def read_claimed_type(headers: Headers) -> str:
    """Read the type that a record in binary mode claims to have, whatever is in it; empty where it claims none."""
    return fold_headers(headers).get("ce_type", b"").decode(errors="replace")


def is_structured(headers: dict[str, bytes]) -> bool:
    """Check whether a record is in structured mode, the whole event in its value; ``headers`` as they are folded."""
    content_type = headers.get("content-type")
    if content_type is None:
        return "ce_id" not in headers
    return _read_media_type(content_type) == "application/cloudevents+json"


def _read_media_type(content_type: bytes) -> str:
    return content_type.decode("latin-1").partition(";")[0].strip().lower()


def _open_event(record: Record) -> tuple[dict[str, object], object]:
    if record.value is None:
        raise _WrongError("the value is null; a message was expected")
    headers = fold_headers(record.headers)
    if is_structured(headers):
        event = _parse_object("the value", record.value)
        if "data" not in event:
            raise _WrongError("data: it is missing")
        return event, event["data"]
    media_type = _read_media_type(headers.get("content-type", b"application/json"))
    if media_type != "application/json":
        raise _WrongError(f"content-type: application/json is expected, not {describe_value(media_type)}")
    attributes: dict[str, object] = {
        name.removeprefix("ce_"): value for name, value in headers.items() if name.startswith("ce_")
    }
    return attributes, record.value


def _find_model(topic: str, attributes: dict[str, object]) -> type[Inbound]:
    version = attributes.get("specversion")
    if version not in ("1.0", b"1.0"):
        raise _WrongError(f'specversion: "1.0" is expected, not {describe_value(version)}')
    kind = _read_attribute("type", attributes.get("type"))
    for model in SOURCES[topic]:
        if model.type == kind:
            return model
    known = ", ".join(model.type for model in SOURCES[topic])
    raise _WrongError(f"type: {describe_value(kind)} is not known on {topic}; known there: {known}", "unknown_type")


def _read_source(topic: str, attributes: dict[str, object]) -> str:
    source = _read_attribute("source", attributes.get("source"))
    if source in _OWN_SOURCES and topic != COMMANDS:
        raise _WrongError(f"source: {source} is the bridge itself, which sends nothing to {topic}")
    return source


def _read_body(model: type[Inbound], data: object) -> Inbound:
    """Read the fields of a message.

    What has the usual form is read by pydantic's own parser. The rest is parsed again with every number as it was
    written: it may have another form that is allowed, or else it is described.
    """
    if not isinstance(data, bytes):
        return model.model_validate(data)
    if not may_have_more_values(data, _MAX_FAST_VALUES):
        with suppress(ValidationError):
            return model.model_validate_json(data)
    return model.model_validate(_parse_object("data", data))


def _read_attribute(name: str, value: object) -> str:
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise _WrongError(f"{name}: {describe_value(value)} is not UTF-8") from None
    if not isinstance(value, str) or not value:
        raise _WrongError(
            f"{name}: a text is expected, not {describe_value(value)}" if value else f"{name}: it is missing"
        )
    if _FORBIDDEN_IN_ATTRIBUTE.search(value):
        raise _WrongError(f"{name}: {describe_value(value)} has a character that CloudEvents forbids in it")
    if len(value.encode()) > MAX_ATTRIBUTE_BYTES:
        raise _WrongError(f"{name}: {describe_value(value)} is longer than {MAX_ATTRIBUTE_BYTES} bytes")
    return value


def _parse_object(what: str, value: bytes) -> dict[str, object]:
    try:
        parsed = parse_json(value)
    except ValueError as error:
        raise _WrongError(f"{what}: {error}") from None
    if not isinstance(parsed, dict):
        raise _WrongError(f"{what}: a JSON object is expected, not {describe_value(parsed)}")
    return parsed


def _describe(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    described = [_describe_problem(problem["loc"], problem["msg"]) for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        described.append(f"and {len(problems) - _SHOWN_PROBLEMS} more")
    return "; ".join(described)


def _describe_problem(where: tuple[int | str, ...], what: str) -> str:
    path = ".".join(map(str, ("data", *where)))
    return f"{path}: {what.removeprefix('Value error, ')}"
