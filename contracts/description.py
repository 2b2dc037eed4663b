"""Describes messages in words, from their models: for the page of the contract, and for the desk."""

import re
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel, StringConstraints

from contracts.drift import ChosenLine, DriftLine
from contracts.erp_snapshot import SnapshotLine
from contracts.export_lines import ApprovalLine, ExportLine, MeasuredExportLine
from contracts.fields import Words
from contracts.imports import AppliedLine, ImportLine, ImportNotice
from contracts.inbound import AcknowledgedLine, BudgetLine
from contracts.outbound import BudgetError, FailedLine, Notice
from contracts.signature.event import SignedEvent

KEY_FIELDS: Final = frozenset({"company_id", "project_id", "budget_id", "budget_version"})
"""What all messages, or all about a version, have in common."""

PARTS: Final[dict[type[BaseModel], str]] = {
    BudgetLine: "line",
    AcknowledgedLine: "acknowledged line",
    Notice: "notice",
    BudgetError: "error",
    FailedLine: "failed line",
    SnapshotLine: "snapshot line",
    DriftLine: "drift line",
    ChosenLine: "chosen line",
    AppliedLine: "applied line",
    ImportLine: "imported line",
    ImportNotice: "import notice",
    SignedEvent: "signed event",
}
"""The parts of messages that have fields of their own, and what they are called."""


class FieldDescription(NamedTuple):
    """One field in words."""

    name: str
    type: str
    is_optional: bool
    description: str


def describe_fields(model: type[BaseModel]) -> list[FieldDescription]:
    """Describe the fields of a message or of a part, without those that all messages have."""
    hints = get_type_hints(model, include_extras=True)
    return [
        FieldDescription(
            name, describe_type(hints[name]), not field.is_required(), " ".join((field.description or "").split("\n"))
        )
        for name, field in model.model_fields.items()
        if name not in KEY_FIELDS
    ]


def describe_found_fields() -> list[FieldDescription]:
    """Describe what the lines of a request for approval have besides those of an export."""
    return describe_fields(ApprovalLine)[len(ExportLine.model_fields) :]


def list_measured_fields() -> list[str]:
    """List the fields that lines have only while quantities are switched on."""
    return [name for name in MeasuredExportLine.model_fields if name not in ExportLine.model_fields]


def describe_type(annotation: object) -> str:
    """Describe a field's type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        words = [found.text for found in arguments[1:] if isinstance(found, Words)]
        return words[0] if words else describe_type(arguments[0]) + _describe_length(arguments[1:])
    if origin in {Union, UnionType}:
        described = [describe_type(argument) for argument in arguments if argument is not NoneType]
        return " or ".join(dict.fromkeys(described)) + (" or null" if NoneType in arguments else "")
    if origin is Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        items = describe_type(arguments[0])
        return f"list of {items}" if items.endswith("`") else f"list of {items}s"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return PARTS.get(annotation, "line")
    return {str: "text", int: "integer", bool: "true or false", UUID: "UUID"}[annotation]  # type: ignore[index]


def _describe_length(metadata: Iterable[Any]) -> str:
    for found in metadata:
        if isinstance(found, StringConstraints) and found.max_length:
            return f" of {found.min_length or 0} to {found.max_length}"
    return ""


def find_parts(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Find the parts of a message that have fields of their own."""
    text = str(get_type_hints(model, include_extras=True))
    return [part for part in PARTS if re.search(rf"\.{part.__name__}(,|'>)", text)]
