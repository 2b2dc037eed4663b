"""Writes ``docs/messages.md`` from its template and the message models, or checks that it is up to date.

``python docs/write_messages.py`` writes; ``--check`` compares and ends with 1 where they differ.
"""

import json
import sys
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Final, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel, StringConstraints

from contracts.drift import ChosenLine, DriftLine
from contracts.erp_snapshot import SnapshotLine
from contracts.export_lines import ApprovalLine, ExportLine, MeasuredExportLine
from contracts.fields import Words
from contracts.imports import AppliedLine, ImportLine, ImportNotice
from contracts.inbound import AcknowledgedLine, BudgetLine
from contracts.outbound import BudgetError, FailedLine, Notice
from contracts.samples import load_sample
from contracts.signature.event import SignedEvent
from contracts.topics import INBOX, OUTPUTS, SOURCES, list_topics

HERE: Final = Path(__file__).parent
KEY_FIELDS: Final = frozenset({"company_id", "project_id", "budget_id", "budget_version"})
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


def describe_type(annotation: object) -> str:
    """Describe a field's type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        words = [found.text for found in arguments[1:] if isinstance(found, Words)]
        return words[0] if words else describe_type(arguments[0]) + describe_length(arguments[1:])
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


def describe_length(metadata: Iterable[object]) -> str:
    """Describe a text's limits."""
    for found in metadata:
        if isinstance(found, StringConstraints) and found.max_length:
            return f" of {found.min_length or 0} to {found.max_length}"
    return ""


def describe_fields(model: type[BaseModel]) -> str:
    """Describe the fields of a message, without the budget key that all carry."""
    hints = get_type_hints(model, include_extras=True)
    rows = ["| Field | Type | |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        if name not in KEY_FIELDS:
            optional = "" if field.is_required() else " (optional)"
            description = " ".join((field.description or "").split("\n"))
            rows.append(f"| `{name}` | {describe_type(hints[name])}{optional} | {description} |")
    return "\n".join(rows)


def describe_message(model: type[BaseModel], parts: Iterable[type[BaseModel]]) -> str:
    """Describe a message: what it says, its fields, the fields of its parts, and a sample."""
    kind = model.type  # type: ignore[attr-defined]
    sections = [f"### `{kind}`", model.__doc__ or "", describe_fields(model)]
    sections.extend(f"Each {PARTS[part]}: {part.__doc__}\n\n{describe_fields(part)}" for part in parts)
    sample = json.dumps(load_sample(kind), indent=2, ensure_ascii=False)
    sections.append(f"<details><summary>A sample</summary>\n\n```json\n{sample}\n```\n\n</details>")
    return "\n\n".join(sections)


def find_parts(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Find the parts of a message that have fields of their own."""
    text = str(get_type_hints(model, include_extras=True))
    return [part for part in PARTS if f".{part.__name__}," in text]


def describe_topics() -> str:
    """Describe the topics: direction, what they carry, how they are set up."""
    rows = ["| Topic | Direction | Types | Settings |", "|---|---|---|---|"]
    for topic in list_topics():
        carried = [model.type for model in SOURCES.get(topic.name, ())]
        carried += [model.type for model in OUTPUTS.get(topic.name, ())]
        direction = "in" if topic.name in SOURCES else "internal" if topic.name == INBOX else "out"
        types = ", ".join(f"`{kind}`" for kind in carried) or "any"
        settings = ", ".join(f"`{name}={value}`" for name, value in topic.settings.items())
        rows.append(f"| `{topic.name}` | {direction} | {types} | {settings} |")
    return "\n".join(rows)


def describe_lines() -> str:
    """Describe the lines of an export, with the fields that only come while quantities are on."""
    extra = [name for name in MeasuredExportLine.model_fields if name not in ExportLine.model_fields]
    return f"{describe_fields(MeasuredExportLine)}\n\nOnly while quantities are switched on: `{'`, `'.join(extra)}`."


def describe_found() -> str:
    """Describe what the lines of a request for approval have besides."""
    rows = describe_fields(ApprovalLine).splitlines()
    return "\n".join((*rows[:2], *rows[2 + len(ExportLine.model_fields) :]))


def describe_vector() -> str:
    """Describe the reference vector of signatures, step by step."""
    vector = json.loads((HERE / "signature_vector.json").read_text(encoding="utf-8"))
    public = {name: value for name, value in vector["private_jwk"].items() if name not in {"d", "user"}}
    secret = urlsafe_b64decode(vector["private_jwk"]["d"] + "=").hex()
    digests = [(f"S({name})", digest) for name, digest in vector["digests"].items()]
    rows = [
        ("secret key", secret),
        ("public key", json.dumps(public, separators=(",", ":"))),
        *vector["attributes"].items(),
        ("data", vector["data"]),
        *digests,
        *((name, vector[name]) for name in ("core", "pae", "signature", "dssematerial")),
    ]
    return "\n".join(("| | |", "|---|---|", *(f"| {name} | `{value}` |" for name, value in rows)))


def write_page() -> str:
    """Write the page."""
    inbound = [model for models in SOURCES.values() for model in models]
    outbound = [model for models in OUTPUTS.values() for model in models]
    return (
        (HERE / "messages.template.md")
        .read_text(encoding="utf-8")
        .replace("{vector}", describe_vector())
        .replace("{topics}", describe_topics())
        .replace("{inbound}", "\n\n".join(describe_message(model, find_parts(model)) for model in inbound))
        .replace("{outbound}", "\n\n".join(describe_message(model, find_parts(model)) for model in outbound))
        .replace("{lines}", describe_lines())
        .replace("{found}", describe_found())
    )


def main() -> int:
    """Write the page, or compare it with what is there."""
    page, place = write_page(), HERE / "messages.md"
    if "--check" not in sys.argv:
        place.write_text(page, encoding="utf-8")
        return 0
    if place.read_text(encoding="utf-8") == page:
        return 0
    print("docs/messages.md is not what the contracts say: run `make docs`", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
