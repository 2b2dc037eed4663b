"""Lines as rows: the values of a model's fields, in their order, without an object for each line."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, repeat
from json.encoder import encode_basestring
from types import NoneType
from typing import Annotated, Any, Final

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from contracts.fields import write_time
from contracts.json_text import name_values

Row = tuple[Any, ...]
"""The values of a line, in the order of its model's fields."""


@dataclass(frozen=True, eq=False)
class ReadRows:
    """Reads JSON objects as rows, and refuses the first that is not of the model.

    Args:
        model: describes a line; a field with a default may be missing.
        at_most: how many lines may be read at all.
    """

    model: type[BaseModel]
    at_most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        fields = self.model.model_fields
        line = core_schema.typed_dict_schema(
            {name: core_schema.typed_dict_field(_describe(field, handler)) for name, field in fields.items()}
        )
        names = tuple(fields)
        return core_schema.no_info_after_validator_function(
            # An object that was read has all fields, in their order.
            lambda objects: tuple(map(tuple, map(dict.values, objects))),
            core_schema.list_schema(line, max_length=self.at_most, fail_fast=True),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda rows: name_values(names, rows)),
        )


def _describe(field: FieldInfo, handler: GetCoreSchemaHandler) -> CoreSchema:
    described = handler.generate_schema(_annotate(field))
    return described if field.is_required() else core_schema.with_default_schema(described, default=field.default)


def _annotate(field: FieldInfo) -> Any:
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


class WrittenRows:
    """Rows of any of some models: checked, and written under their names.

    Args:
        name_fields: finds the names of a row's values.
        models: describe the rows.
    """

    def __init__(self, name_fields: Callable[[Row], Sequence[str]], *models: type[BaseModel]) -> None:
        self._name_fields = name_fields
        self._fields = [list(model.model_fields.values()) for model in models]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        rows = [
            core_schema.tuple_schema([handler.generate_schema(_annotate(field)) for field in fields])
            for fields in self._fields
        ]
        return core_schema.union_schema(
            [core_schema.tuple_schema([row], variadic_item_index=0) for row in rows],
            mode="left_to_right",
            serialization=core_schema.plain_serializer_function_ser_schema(self._name_values),
        )

    def _name_values(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        return name_values(self._name_fields(rows[0]), rows) if rows else []


_WRITERS: Final[Mapping[type, Callable[[Any], str]]] = {
    str: encode_basestring,
    int: str,
    bool: lambda value: "true" if value else "false",
    NoneType: lambda _: "null",
    datetime: lambda value: f'"{write_time(value)}"',
}


def write_rows(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    """Write rows as JSON objects with commas between them, by columns: that takes half as long as by objects.

    Args:
        names: in the order of the values.
        rows: at least one. A column has values of one kind, text, whole numbers, truth values or times, and ``None``.
    """
    parts: list[Iterable[str]] = []
    between = "{"
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        between += f'"{name}":'
        if column.count(column[0]) == len(rows):
            between += f"{_WRITERS[type(column[0])](column[0])},"
            continue
        kinds = set(map(type, column))
        if len(kinds) == 1:
            written: Iterable[str] = map(_WRITERS[kinds.pop()], column)
        else:
            written = [_WRITERS[type(value)](value) for value in column]
        parts += repeat(between, len(rows)), written
        between = ","
    parts.append(repeat(between.removesuffix(",") + "},", len(rows)))
    return "".join(chain.from_iterable(zip(*parts, strict=True)))[:-1].encode()
