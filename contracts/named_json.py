"""A typed value of ours as JSON in which every value is named: named tuples are objects, not arrays.

A tuple of named tuples whose fields are all scalars, such as the lines of an export, is one object of columns: an array
for each field, all of one length, as in ``{"phase_code":["03300","05120"],"cost_type":["M","S"]}``. So thousands of
lines cost each name once, and functions that loop in C turn them. Without lines, the columns are empty. A column that
is missing has the field's default in every line.

Named tuples that hold more than scalars, such as the pages of a reading with their lines, are an array of objects.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, Final, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, SchemaSerializer, SchemaValidator, core_schema

_SCALARS: Final = frozenset({"bool", "date", "datetime", "int", "literal", "str", "uuid"})

T = TypeVar("T")


class NamedJson(Generic[T]):
    """Writes and reads one type."""

    def __init__(self, of: type[T]) -> None:
        schema: Any = TypeAdapter(of).core_schema
        by_name: Any = _ByName(schema.get("definitions", ())).rewrite(schema)
        self._validator = SchemaValidator(by_name)
        self._serializer = SchemaSerializer(by_name)

    def write(self, value: T) -> bytes:
        """Write a value as JSON."""
        return self._serializer.to_json(value)

    def read(self, stored: str) -> T:
        """Read a value; raises ``ValueError`` where it is not of the type."""
        read: T = self._validator.validate_json(stored)
        return read

    @staticmethod
    def describe(error: Exception) -> str:
        """Describe why a value could not be read, in one line."""
        if not isinstance(error, ValidationError):
            return f"{type(error).__name__}: {error}"
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where}: {first['msg']}" if where else first["msg"]


class _ByName:
    """Rewrites pydantic's description of a type so that named tuples are JSON objects instead of arrays."""

    def __init__(self, definitions: Iterable[Any]) -> None:
        self._definitions = {definition["ref"]: definition for definition in definitions}

    def rewrite(self, node: Any) -> Any:
        """Rewrite a description, or a part of one."""
        if isinstance(node, list):
            return [self.rewrite(part) for part in node]
        if not isinstance(node, dict):
            return node
        match node.get("type"):
            case "named-tuple":
                return self._name_values(node)
            case "tuple" if (row := self._find_row(node)) is not None:
                return _name_columns(row)
        return {name: self.rewrite(part) for name, part in node.items()}

    def _name_values(self, node: dict[str, Any]) -> CoreSchema:
        make = partial(tuple.__new__, node["cls"])
        # Its values are read in the order of its fields.
        named = core_schema.typed_dict_schema(
            {field["name"]: core_schema.typed_dict_field(self.rewrite(field["schema"])) for field in node["fields"]}
        )
        return core_schema.no_info_after_validator_function(
            lambda values: make(values.values()),
            named,
            ref=node.get("ref"),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: value._asdict(), return_schema=named
            ),
        )

    def _find_row(self, node: dict[str, Any]) -> dict[str, Any] | None:
        """Find the named tuple that a tuple has any number of, if it is to be written as columns."""
        if node.get("variadic_item_index") != 0 or len(node["items_schema"]) != 1:
            return None
        item: dict[str, Any] = node["items_schema"][0]
        if item["type"] == "definition-ref":
            item = self._definitions[item["schema_ref"]]
        is_row = item["type"] == "named-tuple" and all(_is_scalar(field["schema"]) for field in item["fields"])
        return item if is_row else None


def _is_scalar(node: dict[str, Any]) -> bool:
    return _is_scalar(node["schema"]) if node["type"] in {"default", "nullable"} else node["type"] in _SCALARS


def _name_columns(row: dict[str, Any]) -> CoreSchema:
    names, make = row["cls"]._fields, partial(tuple.__new__, row["cls"])

    def read(columns: dict[str, Any]) -> tuple[Any, ...]:
        try:
            return tuple(map(make, zip(*columns.values(), strict=True)))
        except ValueError as error:
            raise PydanticCustomError("columns", "The columns have different lengths") from error

    named = core_schema.typed_dict_schema(
        {
            field["name"]: core_schema.typed_dict_field(_read_column(names[0], field["schema"]))
            for field in row["fields"]
        }
    )
    return core_schema.no_info_after_validator_function(
        read,
        named,
        serialization=core_schema.plain_serializer_function_ser_schema(
            lambda rows: dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ()),
            return_schema=named,
        ),
    )


def _read_column(first: str, node: dict[str, Any]) -> CoreSchema:
    if node["type"] != "default":
        return core_schema.tuple_schema([node], variadic_item_index=0)
    default = node["default"]
    return core_schema.with_default_schema(
        core_schema.tuple_schema([node["schema"]], variadic_item_index=0),
        default_factory=lambda columns: (default,) * len(columns[first]),
        default_factory_takes_data=True,
    )
