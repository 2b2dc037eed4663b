"""CloudEvents 1.0 over Kafka: binary and structured in, binary out.

Bytes that are no message become a value that says what is wrong and where; nothing raises.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, cast
from uuid import UUID

from pydantic import ValidationError

from contracts.fields import Identifier, JsonNumber, Value, read_json_integer, show, write_time
from contracts.inbound import Inbound, InboundMessage
from contracts.outbound import Outbound
from contracts.records import Headers, Record
from contracts.stubs import read_stub
from contracts.topics import SOURCES

SOURCE: Final = "budget-bridge"
"""``ce_source`` of everything that we send."""

MAX_ATTRIBUTE_BYTES: Final = 1000
"""Longest ``id`` and ``source``: together with the project they are a database key, whose limit is 2,704 bytes."""

_TRACE_HEADERS: Final = ("traceparent", "tracestate")
# CloudEvents 1.0, "Type System": these may not be in a string attribute.
_FORBIDDEN_IN_ATTRIBUTE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef]")
_SHOWN_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True)
class Message:
    """One inbound message: its identity within its project, what it says, and the trace it belongs to."""

    source: str
    id: str
    body: InboundMessage
    trace: Headers


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes that are no message of their topic: which kind of wrong, and what and where in words."""

    reason: Literal["unreadable", "unknown_type"]
    detail: str


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
    """Read the message in ``record``, which first came in on ``topic`` (its name without prefix)."""
    if why := read_stub(record.headers):
        return Unreadable("unreadable", why)
    try:
        attributes, data = _open_event(record)
        model = _find_model(topic, attributes)
        source, message_id = (_read_attribute(name, attributes.get(name)) for name in ("source", "id"))
        body = cast(
            "InboundMessage", model.model_validate(_parse_object("data", data) if isinstance(data, bytes) else data)
        )
    except ValidationError as error:
        return Unreadable("unreadable", _describe(error))
    except _WrongError as wrong:
        return wrong.unreadable
    return Message(source, message_id, body, read_trace(record.headers))


def read_project(record: Record) -> tuple[int, int] | None:
    """Find the company and project that a record speaks of, without reading the rest of it.

    ``None`` where they cannot be found. It may see an object less strictly than ``read_message``, so
    whoever relies on both compares them.
    """
    value = record.value or b""
    try:
        if _is_structured(_fold_headers(record.headers)):
            keys = _KeysOfEvent.model_validate_json(value).data
        else:
            keys = _Keys.model_validate_json(value)
    except ValidationError:
        return None
    return keys.company_id, keys.project_id


def write_headers(message: Outbound, message_id: UUID, at: datetime, trace: Headers) -> Headers:
    """Write the CloudEvents attributes of a message of ours, with the trace of the message that caused it."""
    attributes = write_attributes(message.type, SOURCE, str(message_id), time=write_time(at), subject=str(message.key))
    return attributes + trace


def write_attributes(
    message_type: str, source: str, message_id: str, *, time: str | None = None, subject: str | None = None
) -> Headers:
    """Write the attributes of an event with JSON data as headers, in CloudEvents' binary mode.

    Args:
        message_type: such as ``budget.locked.v1``.
        source: who sends it.
        message_id: unique within the source.
        time: RFC 3339, left out where it is ``None``.
        subject: what it is about, left out where it is ``None``.

    Returns:
        The headers, in a fixed order.
    """
    optional = (("ce_time", time), ("ce_subject", subject))
    return (
        ("ce_specversion", b"1.0"),
        ("ce_id", message_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", message_type.encode()),
        *((name, text.encode()) for name, text in optional if text is not None),
        ("content-type", b"application/json"),
    )


def read_trace(headers: Headers) -> Headers:
    """Take the W3C trace context out of a record's headers: at most one of each."""
    folded = _fold_headers(headers)
    return tuple((name, value) for name in _TRACE_HEADERS if (value := folded.get(name)) is not None)


def drop_trace(headers: Headers) -> Headers:
    """Leave out the trace context: which span a message belongs to is no part of what it says."""
    return tuple((name, value) for name, value in headers if name.lower() not in _TRACE_HEADERS)


def _fold_headers(headers: Headers) -> dict[str, bytes]:
    return {name.lower(): value for name, value in headers if value is not None}


def _is_structured(headers: dict[str, bytes]) -> bool:
    content_type = headers.get("content-type")
    if content_type is None:
        return "ce_id" not in headers
    return _read_media_type(content_type) == "application/cloudevents+json"


def _read_media_type(content_type: bytes) -> str:
    return content_type.decode("latin-1").partition(";")[0].strip().lower()


def _open_event(record: Record) -> tuple[dict[str, object], object]:
    if record.value is None:
        raise _WrongError("the value is null; a message was expected")
    headers = _fold_headers(record.headers)
    if _is_structured(headers):
        event = _parse_object("the value", record.value)
        if "data" not in event:
            raise _WrongError("data: it is missing")
        return event, event["data"]
    media_type = _read_media_type(headers.get("content-type", b"application/json"))
    if media_type != "application/json":
        raise _WrongError(f"content-type: application/json is expected, not {show(media_type)}")
    attributes: dict[str, object] = {
        name.removeprefix("ce_"): value for name, value in headers.items() if name.startswith("ce_")
    }
    return attributes, record.value


def _find_model(topic: str, attributes: dict[str, object]) -> type[Inbound]:
    version = attributes.get("specversion")
    if version not in ("1.0", b"1.0"):
        raise _WrongError(f'specversion: "1.0" is expected, not {show(version)}')
    kind = _read_attribute("type", attributes.get("type"))
    for model in SOURCES[topic]:
        if model.type == kind:
            return model
    known = ", ".join(model.type for model in SOURCES[topic])
    raise _WrongError(f"type: {show(kind)} is not known on {topic}; known there: {known}", "unknown_type")


def _read_attribute(name: str, value: object) -> str:
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise _WrongError(f"{name}: {show(value)} is not UTF-8") from None
    if not isinstance(value, str) or not value:
        raise _WrongError(f"{name}: a text is expected, not {show(value)}" if value else f"{name}: it is missing")
    if _FORBIDDEN_IN_ATTRIBUTE.search(value):
        raise _WrongError(f"{name}: {show(value)} has a character that CloudEvents forbids in it")
    if len(value.encode()) > MAX_ATTRIBUTE_BYTES:
        raise _WrongError(f"{name}: {show(value)} is longer than {MAX_ATTRIBUTE_BYTES} bytes")
    return value


def _parse_object(what: str, value: bytes) -> dict[str, object]:
    try:
        parsed = json.loads(value.decode(), parse_float=JsonNumber, parse_int=read_json_integer)
    except UnicodeDecodeError as error:
        raise _WrongError(f"{what}: byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _WrongError(f"{what}: no JSON at line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise _WrongError(f"{what}: the JSON is nested too deeply") from None
    if not isinstance(parsed, dict):
        raise _WrongError(f"{what}: a JSON object is expected, not {show(parsed)}")
    return parsed


def _describe(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    told = [_describe_problem(problem["loc"], problem["msg"]) for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        told.append(f"and {len(problems) - _SHOWN_PROBLEMS} more")
    return "; ".join(told)


def _describe_problem(where: tuple[int | str, ...], what: str) -> str:
    path = ".".join(map(str, ("data", *where)))
    return f"{path}: {what.removeprefix('Value error, ')}"
