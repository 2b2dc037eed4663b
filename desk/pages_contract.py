"""The contract as a page: every message that crosses the wire, from the models themselves, without JavaScript."""

import json
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from contracts.description import (
    PARTS,
    FieldDescription,
    describe_fields,
    describe_found_fields,
    find_parts,
    list_measured_fields,
)
from contracts.export_lines import MeasuredExportLine
from contracts.samples import load_sample
from contracts.topics import INBOX, OUTPUTS, SOURCES, TopicSetup, list_topics
from desk.page import open_page


class Part(NamedTuple):
    """A part of messages that has fields of its own."""

    name: str
    says: str
    fields: list[FieldDescription]


class MessageDescription(NamedTuple):
    """One message as the page shows it."""

    type: str
    says: str
    fields: list[FieldDescription]
    parts: tuple[Part, ...]
    sample: str


class TopicDescription(NamedTuple):
    """One topic: its direction, and the messages on it."""

    name: str
    direction: str
    settings: dict[str, str]
    messages: tuple[MessageDescription, ...]


async def show_contract(request: Request) -> Response:
    """Show the contract."""
    async with open_page(request) as page:
        return page.render(
            "contract.html",
            topics=_describe_topics(),
            lines=describe_fields(MeasuredExportLine),
            found=describe_found_fields(),
            measured=list_measured_fields(),
        )


@cache
def _describe_topics() -> tuple[TopicDescription, ...]:
    return tuple(map(_describe_topic, list_topics()))


def _describe_topic(topic: TopicSetup) -> TopicDescription:
    direction = "in" if topic.name in SOURCES else "internal" if topic.name == INBOX else "out"
    models: tuple[Any, ...] = (*SOURCES.get(topic.name, ()), *OUTPUTS.get(topic.name, ()))
    settings = {name: str(value) for name, value in topic.settings.items()}
    return TopicDescription(topic.name, direction, settings, tuple(map(_describe_message, models)))


def _describe_message(model: Any) -> MessageDescription:
    parts = tuple(_describe_part(part) for part in find_parts(model))
    sample = json.dumps(load_sample(model.type), indent=2, ensure_ascii=False)
    return MessageDescription(model.type, model.__doc__ or "", describe_fields(model), parts, sample)


def _describe_part(part: type[BaseModel]) -> Part:
    return Part(PARTS[part], part.__doc__ or "", describe_fields(part))
