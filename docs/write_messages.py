"""Writes ``docs/messages.md`` from its template and the message models, or checks that it is up to date.

``python docs/write_messages.py`` writes; ``--check`` compares and ends with 1 where they differ.
"""

import json
import sys
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pydantic import BaseModel

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
from contracts.topics import INBOX, OUTPUTS, SOURCES, list_topics

HERE: Final = Path(__file__).parent


def write_fields(fields: Iterable[FieldDescription]) -> str:
    """Write the fields of a message as a table."""
    rows = ["| Field | Type | |", "|---|---|---|"]
    for field in fields:
        optional = " (optional)" if field.is_optional else ""
        rows.append(f"| `{field.name}` | {field.type}{optional} | {field.description} |")
    return "\n".join(rows)


def describe_message(model: type[BaseModel], parts: Iterable[type[BaseModel]]) -> str:
    """Describe a message: what it says, its fields, the fields of its parts, and a sample."""
    kind = model.type  # type: ignore[attr-defined]
    sections = [f"### `{kind}`", model.__doc__ or "", write_fields(describe_fields(model))]
    sections.extend(f"Each {PARTS[part]}: {part.__doc__}\n\n{write_fields(describe_fields(part))}" for part in parts)
    sample = json.dumps(load_sample(kind), indent=2, ensure_ascii=False)
    sections.append(f"<details><summary>A sample</summary>\n\n```json\n{sample}\n```\n\n</details>")
    return "\n\n".join(sections)


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
    extra = "`, `".join(list_measured_fields())
    return f"{write_fields(describe_fields(MeasuredExportLine))}\n\nOnly while quantities are switched on: `{extra}`."


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
        .replace("{found}", write_fields(describe_found_fields()))
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
