"""A signed message as CloudEvents' JSON format has it, so that any library of it verifies it as it stands."""

from base64 import b64encode
from collections.abc import Mapping
from operator import itemgetter
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from contracts.fields import Value
from contracts.records import Headers, Record, fold_headers

SIGNED_HEADERS: Final[Mapping[str, str]] = {
    "id": "ce_id",
    "source": "ce_source",
    "specversion": "ce_specversion",
    "type": "ce_type",
    "datacontenttype": "content-type",
    "dataschema": "ce_dataschema",
    "subject": "ce_subject",
    "time": "ce_time",
}
"""The attributes that are signed, in the order of their digests, with the Kafka header of each."""

MATERIAL_HEADER: Final = "ce_dssematerial"
"""The Kafka header that holds the envelope."""

_NAMES: Final = frozenset((*SIGNED_HEADERS.values(), MATERIAL_HEADER))

_Text = Annotated[str, StringConstraints(strict=True)]
_Optional = Annotated[_Text | None, Field(default=None, exclude_if=lambda value: value is None)]


class SignedEvent(Value):
    """A signed message in CloudEvents' JSON format, each attribute exactly as it came."""

    specversion: _Text
    id: _Text
    source: _Text
    type: _Text
    subject: _Text
    time: _Text
    datacontenttype: _Optional
    """Left out if it did not come."""
    dataschema: _Optional
    """Left out if it did not come."""
    data_base64: _Text
    """The value of the Kafka record, byte for byte."""
    dssematerial: _Text
    """The envelope with the signature."""


def pick_signed(headers: Headers) -> Headers:
    """Pick the headers that are signed, and the envelope, by their names in lower case."""
    named = ((name.lower(), value) for name, value in headers)
    return tuple(sorted((one for one in named if one[0] in _NAMES), key=itemgetter(0)))


def read_event(record: Record) -> SignedEvent:
    """Read as an event what a record holds that was verified before."""
    folded = fold_headers(record.headers)
    attributes = {name: folded[header].decode() for name, header in SIGNED_HEADERS.items() if header in folded}
    return write_event(attributes, record.value or b"", folded[MATERIAL_HEADER].decode())


def write_event(attributes: Mapping[str, str], data: bytes, material: str) -> SignedEvent:
    """Write a signed message as an event.

    Args:
        attributes: by their name in CloudEvents, without those that did not come.
        data: the value of the record.
        material: the envelope.
    """
    return SignedEvent.model_validate({**attributes, "data_base64": b64encode(data).decode(), "dssematerial": material})
